"""What every command uses: the stack's names and stores, AWS clients, and the output."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import boto3
from rich.console import Console
from rich.text import Text

from ops import tables
from quarantine.held import HoldReason
from quarantine.mail.escaping import escaped_lines
from quarantine.mail.text import clean_text
from quarantine.settings import longest_retention
from quarantine.stores.asks import Asks
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.quarantine import HeldRows, Quarantine
from quarantine.stores.requests import Requests
from quarantine.stores.senders import SenderRecords, Senders

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Output(StrEnum):
    """The output format of a command."""

    TABLE = "table"  # for a person
    JSON = "json"  # for a script: one value on standard output


class OperatorError(RuntimeError):
    """The command cannot be carried out; the message says why and what to do."""


class Declined(RuntimeError):
    """The command would be unsafe and was not carried out; the message says how to force it."""


@dataclass(frozen=True)
class Operator:
    """One invocation of the command.

    out: the answer. err: warnings and progress, so that a program can read standard output.
    queue_wait: how long SQS looks for messages before it answers that there are none, in seconds.
    """

    session: boto3.Session
    stack_name: str
    endpoint_url: str | None = None
    output: Output = Output.TABLE
    out: Console = field(default_factory=lambda: Console(highlight=False))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    queue_wait: int = 1  # with 0, SQS asks only some of its servers, and may miss messages

    def client(self, service: str) -> Any:
        """Return a client of a service, configured like the AWS CLI; annotate its type where it is used."""
        return self.session.client(service, endpoint_url=self.endpoint_url)  # type: ignore[call-overload]

    @functools.cached_property
    def dynamodb(self) -> "DynamoDBClient":
        client: DynamoDBClient = self.client("dynamodb")
        return client

    @functools.cached_property
    def senders(self) -> Senders:
        return Senders(self.dynamodb, self.name("SendersTableName"), self.unreadable)

    @functools.cached_property
    def sender_records(self) -> SenderRecords:
        return SenderRecords(self.dynamodb, self.name("SendersTableName"))

    @functools.cached_property
    def quarantine(self) -> Quarantine:
        table, longest = self.name("QuarantineTableName"), self.longest_retention
        return Quarantine(self.dynamodb, table, self.unreadable, longest)

    @functools.cached_property
    def held_rows(self) -> HeldRows:
        return HeldRows(self.dynamodb, self.name("QuarantineTableName"))

    @functools.cached_property
    def requests(self) -> Requests:
        return Requests(self.dynamodb, self.name("RequestsTableName"))

    @functools.cached_property
    def mailboxes(self) -> Mailboxes:
        return Mailboxes(self.dynamodb, self.name("MailboxesTableName"), self.unreadable)

    @functools.cached_property
    def asks(self) -> Asks:
        return Asks(self.dynamodb, self.name("RequestsTableName"), self.unreadable)

    @functools.cached_property
    def stack(self) -> Mapping[str, Any]:
        """The stack as CloudFormation describes it. Raises OperatorError if there is none."""
        cloudformation = self.client("cloudformation")
        try:
            (stack,) = cloudformation.describe_stacks(StackName=self.stack_name)["Stacks"]
        except cloudformation.exceptions.ClientError as e:
            if "does not exist" not in str(e):
                raise
            region = self.session.region_name
            raise OperatorError(f"no stack {self.stack_name} in {region}: name it with --stack") from e
        return dict(stack)

    def has(self, output: str) -> bool:
        """Return whether the stack has an output; some depend on its parameters."""
        return any(each["OutputKey"] == output for each in self.stack.get("Outputs", []))

    def name(self, output: str) -> str:
        """Return an output of the stack, such as SendersTableName. Raises OperatorError."""
        for each in self.stack.get("Outputs", []):
            if each["OutputKey"] == output:
                return str(each["OutputValue"])
        raise OperatorError(f"the stack {self.stack_name} has no output {output}: deploy it again")

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of intake and report."""
        outputs = {
            "SENDERS_TABLE": "SendersTableName",
            "QUARANTINE_TABLE": "QuarantineTableName",
            "REQUESTS_TABLE": "RequestsTableName",
            "MAILBOXES_TABLE": "MailboxesTableName",
            "JOBS_QUEUE_URL": "JobsQueueUrl",
            "ACTIONS_QUEUE_URL": "ActionsQueueUrl",
            "MAIL_BUCKET": "MailBucketName",
        }
        parameters = {
            "TRIGGER": "Trigger",
            "REPORTS_DOMAIN": "ReportsDomain",
            "REPORT_SENDER": "ReportSender",
            "REPLY_TO": "ReplyTo",
            "COOLDOWN_SECONDS": "CooldownSeconds",
            "MAILBOX_REPORTS_PER_HOUR": "MailboxReportsPerHour",
            "MAILBOX_ACTIONS_PER_HOUR": "MailboxActionsPerHour",
            "DOMAIN_REQUESTS_PER_HOUR": "DomainRequestsPerHour",
            "USER_ACTIONS": "UserActions",
            "RELEASE_REASONS": "ReleaseReasons",
            "MAX_ROWS": "MaxRows",
            "REPORT_ORDER": "ReportOrder",
            "WHEN_EMPTY": "WhenEmpty",
        }
        return (
            {name: self.name(output) for name, output in outputs.items()}
            | {"STACK_NAME": self.stack_name}
            | {name: self.parameter(parameter) for name, parameter in parameters.items()}
            | self._retention_environ
        )

    @property
    def longest_retention(self) -> timedelta:
        """The longest time that this stack's reports list a message."""
        return longest_retention(self._retention_environ)

    @property
    def _retention_environ(self) -> dict[str, str]:
        days = {reason: self.parameter(f"{reason.title()}RetentionDays") for reason in HoldReason}
        return {
            "RETENTION_DAYS": ",".join(f"{reason}={number}" for reason, number in days.items()),
            "LONGEST_RETENTION_DAYS": self.parameter("LongestRetentionDays"),
        }

    def parameter(self, key: str) -> str:
        """Return a parameter of the stack; empty if the stack does not have it."""
        parameters = {
            each["ParameterKey"]: each["ParameterValue"] for each in self.stack.get("Parameters", [])
        }
        return str(parameters.get(key, ""))

    def answer(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], empty: str) -> None:
        """Show rows: a table of the columns, or all attributes as JSON.

        empty: the text if there are none; a program that counts lines does not see it.
        """
        rows = list(rows)
        if self.output is Output.JSON:
            self.out.print_json(json.dumps(rows, default=str), ensure_ascii=True)
            return
        if not rows:
            (self.out if self.out.is_terminal else self.err).print(Text(empty), soft_wrap=True)
        tables.show(self.out, columns, rows)

    def say(self, text: str, **values: Any) -> None:
        """Answer with a sentence, or with the values as JSON. The text is not markup."""
        if self.output is Output.JSON:
            self.out.print_json(json.dumps(values, default=str), ensure_ascii=True)
        else:
            self.out.print(Text(escaped_lines(text)))

    def warn(self, text: str) -> None:
        self.err.print(Text(escaped_lines(f"warning: {text}"), style="yellow"))

    def unreadable(self, record: Mapping[str, Any], error: Exception) -> None:
        """Warn about a record that cannot be read: intake and report skip it."""
        key = ", ".join(f"{name} {clean_text(str(value))}" for name, value in record.items())
        self.warn(f"a record cannot be read: {key}: {clean_text(str(error))}")
