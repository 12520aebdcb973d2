"""What `quarantine doctor` looks at: an installation, and the answers of AWS and DNS about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ops.operator import Operator, OperatorError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef
    from mypy_boto3_ses import SESClient
    from mypy_boto3_ses.type_defs import DescribeActiveReceiptRuleSetResponseTypeDef
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sesv2.type_defs import GetAccountResponseTypeDef, GetEmailIdentityResponseTypeDef


class Health(StrEnum):
    """The result of a check."""

    OK = "ok"  # nothing to do
    WARNING = "warning"  # works, but not as well as it should
    FAULT = "fault"  # some requests get no report
    UNKNOWN = "unknown"  # could not be checked: not permitted, or no answer


class Check(StrEnum):
    """What is checked, in the order of the installation steps."""

    REGION = "region"  # SES receives mail there
    DOMAIN = "reports domain"  # SES receives only for a verified domain
    MX = "MX record"  # other mail servers send the domain's mail to SES
    RULE_SET = "rule set"  # the one that SES reads is the one with our rule
    RULE = "receipt rule"  # it is reached, stores the mail and invokes intake
    SENDER = "report sender"  # SES may send from it
    DKIM = "DKIM"  # SES signs for it, and the keys are published
    MAIL_FROM = "MAIL FROM"  # bounces come back to SES
    SANDBOX = "sandbox"  # SES sends to everybody
    SENDING = "sending"  # SES has not paused the account
    QUOTA = "quota"  # some of today's quota is left
    SENDERS = "senders table"  # who may ask
    QUARANTINE = "quarantine table"  # what is held
    REQUESTS = "requests table"  # the requests and their outcomes
    MAILBOXES = "mailboxes table"  # what each reader was told, and who is due for a scheduled report
    PERMISSION = "permission"  # at least one record lets somebody ask
    ADMINISTRATORS = "administrators"  # each who is asked can be proven to have answered
    VERSION = "version"  # the stack's, its functions' and this command's are one
    SES_MAY = "SES's permissions"  # to store mail in the bucket and to invoke intake
    NOTIFICATION = "notification"  # the bucket tells hold's queue of held mail
    SENT_MAIL = "sent mail"  # SES and EventBridge tell feedback's queue what became of it
    SOURCES = "event sources"  # report, hold and feedback take from their queues
    CONCURRENCY = "concurrency"  # no function is switched off
    THROTTLES = "throttles"  # Lambda had room for each function
    WAITING = "waiting mail"  # intake looks at a mail soon
    SCHEDULE = "schedule"  # it invokes digest, and a run has looked for readers who are due
    AGENTS = "agents"  # one asks for released messages, where the stack needs one
    FAILURES = "failures"  # nothing waits in a dead-letter queue
    ALARMS = "alarms"  # none is in alarm, and a topic with a subscriber is notified
    LOGS = "logs"  # the log groups in which decisions are recorded
    CLOCK = "clock"  # this computer's, against AWS's


@dataclass(frozen=True, slots=True)
class CheckResult:
    """seen: what was found. step: what to do about it; empty if there is nothing to do."""

    verdict: Health
    seen: str
    step: str = ""


class Unresolved(OperatorError):
    """DNS did not answer. This does not mean that there is no record."""


type Resolver = Callable[[str, Literal["A", "CNAME", "MX"]], Sequence[str]]


def resolve(name: str, kind: Literal["A", "CNAME", "MX"]) -> Sequence[str]:
    """Return a name's records in zone file format; empty if there are none. Raises Unresolved."""
    try:
        import dns.exception  # noqa: PLC0415 - no other command uses DNS
        import dns.resolver  # noqa: PLC0415
    except ImportError as e:
        raise Unresolved("dnspython is not installed: install quarantine-report[ops]") from e
    try:
        return [record.to_text() for record in dns.resolver.resolve(f"{name}.", kind, lifetime=10)]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as e:
        raise Unresolved(f"{type(e).__name__} of {name}") from e


@dataclass(frozen=True)
class Site:
    """An installation, and the answers about it: each question is asked once."""

    operator: Operator
    resolve: Resolver = resolve
    identities: "dict[str, GetEmailIdentityResponseTypeDef | None]" = field(default_factory=dict)

    @cached_property
    def account(self) -> "GetAccountResponseTypeDef":
        sesv2: SESV2Client = self.operator.client("sesv2")
        return sesv2.get_account()

    @cached_property
    def active(self) -> "DescribeActiveReceiptRuleSetResponseTypeDef":
        """The rule set that SES reads. Asked only once: SES allows one such call a second."""
        ses: SESClient = self.operator.client("ses")
        return ses.describe_active_receipt_rule_set()

    @property
    def active_name(self) -> str | None:
        return self.active.get("Metadata", {}).get("Name")

    def identity(self, name: str) -> "GetEmailIdentityResponseTypeDef | None":
        """Return the SES identity of an address or a domain; None if there is none."""
        if name not in self.identities:
            sesv2: SESV2Client = self.operator.client("sesv2")
            try:
                self.identities[name] = sesv2.get_email_identity(EmailIdentity=name)
            except sesv2.exceptions.NotFoundException:
                self.identities[name] = None
        return self.identities[name]

    @cached_property
    def resources(self) -> "Sequence[StackResourceSummaryTypeDef]":
        cloudformation: CloudFormationClient = self.operator.client("cloudformation")
        pages = cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=self.operator.stack_name
        )
        return [each for page in pages for each in page["StackResourceSummaries"]]

    def is_verified(self, name: str) -> bool:
        identity = self.identity(name)
        return identity is not None and identity.get("VerifiedForSendingStatus") is True
