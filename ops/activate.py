"""`quarantine activate`: makes SES read the stack's receipt rule; and the checks of such a rule.

SES reads only the active rule set of an account and region, rule by rule, until one of them stops.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from ops.operator import Declined, Operator, OperatorError

if TYPE_CHECKING:
    from mypy_boto3_ses import SESClient
    from mypy_boto3_ses.literals import TlsPolicyType
    from mypy_boto3_ses.type_defs import (
        ReceiptActionTypeDef,
        ReceiptRuleOutputTypeDef,
        ReceiptRuleTypeDef,
    )

PREFIX = "inbound/"  # where intake looks for a raw mail


@dataclass(frozen=True, slots=True)
class IntakeRoute:
    """What a rule must do with the mail of a domain. function: the ARN of the intake function."""

    domain: str
    trigger: str
    bucket: str
    function: str

    @classmethod
    def of(cls, operator: Operator) -> "IntakeRoute":
        """Return the route of the stack. Raises OperatorError."""
        return cls(
            domain=operator.parameter("ReportsDomain"),
            trigger=operator.parameter("Trigger"),
            bucket=operator.name("MailBucketName"),
            function=operator.name("IntakeFunctionArn"),
        )

    def in_recipients(self, rule: "ReceiptRuleOutputTypeDef") -> bool:
        """Return whether a rule applies to requests: to the trigger's address, or to the whole domain."""
        recipients = [recipient.lower() for recipient in rule.get("Recipients", [])]
        return not recipients or any(
            recipient in (self.domain, f"{self.trigger}@{self.domain}")
            or (recipient.startswith(".") and self.domain.endswith(recipient))  # all sub-domains
            for recipient in recipients
        )

    def stores(self, action: "ReceiptActionTypeDef") -> bool:
        return "S3Action" in action and action["S3Action"]["BucketName"] == self.bucket

    def invokes(self, action: "ReceiptActionTypeDef") -> bool:
        return "LambdaAction" in action and action["LambdaAction"]["FunctionArn"] == self.function

    def place_of_rule(self, rules: Sequence["ReceiptRuleOutputTypeDef"]) -> int | None:
        """Return the index of the first rule that is meant to serve this stack."""
        for place, rule in enumerate(rules):
            if any(self.stores(action) or self.invokes(action) for action in rule.get("Actions", [])):
                return place
        return None

    def stopper(self, rules: Iterable["ReceiptRuleOutputTypeDef"]) -> str | None:
        """Return the name of the first rule after which SES reads no further rule for a request."""
        return next(
            (
                rule["Name"]
                for rule in rules
                if rule.get("Enabled")
                and self.in_recipients(rule)
                and any(map(_ends, rule.get("Actions", [])))
            ),
            None,
        )

    def last_place(self, rules: Sequence["ReceiptRuleOutputTypeDef"]) -> str | None:
        """Return the last rule after which a new one is reached, "" for before all; None for at the end."""
        names = [rule["Name"] for rule in rules]
        stopper = self.stopper(rules)
        if stopper is None:
            return None
        place = names.index(stopper)
        return names[place - 1] if place else ""

    def faults_of(self, rule: "ReceiptRuleOutputTypeDef") -> Iterator[str]:
        """Yield the reasons why a rule that is meant for this stack does not bring requests to intake."""
        if not rule.get("Enabled"):
            yield "it is disabled"
        if not self.in_recipients(rule):
            yield f"{self.domain} is not among its recipients"
        actions = rule.get("Actions", [])
        stored = next((place for place, action in enumerate(actions) if self.stores(action)), None)
        invoked = next((place for place, action in enumerate(actions) if self.invokes(action)), None)
        if stored is None:
            yield f"it does not store mail in {self.bucket}"
        elif actions[stored]["S3Action"].get("ObjectKeyPrefix") != PREFIX:
            yield f"it does not store mail under {PREFIX}"
        if invoked is None:
            yield "it does not invoke intake"
        elif stored is not None and invoked < stored:
            yield "it invokes intake before it stores the mail"
        if any(map(_ends, actions[:invoked])):
            yield "it stops before it invokes intake"

    def doubts_of(self, rule: "ReceiptRuleOutputTypeDef") -> Iterator[str]:
        """Yield what a working rule does less well than the stack's own."""
        if not rule.get("ScanEnabled"):
            yield "it does not scan, so spam and infected mail are not refused"
        recipients = rule.get("Recipients", [])
        if recipients and all("@" in recipient for recipient in recipients):
            yield "its recipient is an address, so mail to the trigger with a +suffix is not received"
        for action in filter(self.invokes, rule.get("Actions", [])):
            if waits(action):
                yield "it waits for intake: if intake fails, the mail is not retried"


def activate(
    context: typer.Context,
    into: Annotated[
        str | None, typer.Option(help="Add the stack's rule to this rule set.", metavar="RULE-SET")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(help="With --into: add the rule after this one; '' to add it first. Default: last."),
    ] = None,
) -> None:
    """Make the stack's rule set the active one, or add the stack's rule to another rule set."""
    operator: Operator = context.obj
    if after is not None and into is None:
        raise typer.BadParameter("--after requires --into")
    ses: SESClient = operator.client("ses")
    active = ses.describe_active_receipt_rule_set().get("Metadata", {}).get("Name")
    if into is None:
        _activate(operator, ses, active)
    else:
        _add(operator, ses, into, after)
        if into != active:
            operator.warn(f"SES does not read {into}: {active or 'no rule set'} is active")


def allowed(operator: Operator, rule_set: str, rule: str) -> bool:
    """Return whether the bucket and intake accept mail from a rule. Raises OperatorError."""
    _, pattern = operator.name("ReceiptRuleArn").split(":receipt-rule-set/", 1)
    return fnmatchcase(f"{rule_set}:receipt-rule/{rule}", pattern)  # like IAM's ArnLike: only * and ?


def waits(action: "ReceiptActionTypeDef") -> bool:
    """Return whether SES waits for the response of a Lambda action; the response can stop the rule set."""
    return "LambdaAction" in action and action["LambdaAction"].get("InvocationType") == "RequestResponse"


def _ends(action: "ReceiptActionTypeDef") -> bool:
    return "StopAction" in action or "BounceAction" in action


def _activate(operator: Operator, ses: "SESClient", active: str | None) -> None:
    if operator.parameter("CreateReceiptRule") == "false":
        raise Declined(
            "the stack was deployed with CreateReceiptRule=false, so you must add the rule: "
            f"quarantine activate --into {active or 'RULE-SET'}"
        )
    ours = operator.name("ReceiptRuleSetName")
    if active == ours:
        operator.say(f"{ours} is active already", rule_set=ours, changed=False)
        return
    if active is not None:
        raise Declined(
            f"{active} is active, and would no longer be read. To add the rule to it instead, deploy with "
            f"ReceiptRuleSetName={active}, which puts the rule before all others; or deploy with "
            f"CreateReceiptRule=false, then: quarantine activate --into {active}"
        )
    ses.set_active_receipt_rule_set(RuleSetName=ours)
    operator.say(f"{ours} is active", rule_set=ours, changed=True)


def _add(operator: Operator, ses: "SESClient", rule_set: str, after: str | None) -> None:
    intake, name = IntakeRoute.of(operator), operator.stack_name
    rules = ses.describe_receipt_rule_set(RuleSetName=rule_set).get("Rules", [])
    place = intake.place_of_rule(rules)
    if place is not None:
        _check_present(intake, rule_set, rules, place)
        operator.say(
            f"{rule_set} has the rule already, as {rules[place]['Name']}",
            rule_set=rule_set,
            rule=rules[place]["Name"],
            changed=False,
        )
        return
    if not allowed(operator, rule_set, name):
        raise Declined(
            f"the mail bucket and intake would refuse a rule in {rule_set}: they accept only the stack's. "
            f"Deploy with ReceiptRuleSetName={rule_set}, which puts the rule before all others; "
            "or deploy with CreateReceiptRule=false, then run this command again"
        )
    names = [rule["Name"] for rule in rules]
    if after is None:
        after = names[-1] if names else ""
    elif after and after not in names:
        raise OperatorError(f"{rule_set} has no rule {after}; it has {', '.join(names) or 'none'}")
    before = rules[: names.index(after) + 1] if after else []
    if stopper := intake.stopper(before):
        earlier = intake.last_place(before)
        raise Declined(
            f"the rule {stopper} stops mail for {intake.domain} before a rule after {after} is read; "
            f"add the rule before it: --after '{earlier}'"
        )
    ses.create_receipt_rule(RuleSetName=rule_set, Rule=_rule(operator, intake), After=after)
    where = f"after {after}" if after else "as the first rule"
    operator.say(
        f"the rule {name} is in {rule_set}, {where}", rule_set=rule_set, rule=name, after=after, changed=True
    )


def _check_present(
    intake: IntakeRoute, rule_set: str, rules: Sequence["ReceiptRuleOutputTypeDef"], place: int
) -> None:
    rule = rules[place]
    if stopper := intake.stopper(rules[:place]):
        raise Declined(
            f"{rule_set} has the rule {rule['Name']}, but {stopper} stops before it: move it there"
        )
    if faults := list(intake.faults_of(rule)):
        raise Declined(
            f"{rule_set} has the rule {rule['Name']}, but {' and '.join(faults)}: correct it there"
        )


def _rule(operator: Operator, intake: IntakeRoute) -> "ReceiptRuleTypeDef":
    """Return the template's rule."""
    tls: TlsPolicyType = "Require" if operator.parameter("TlsPolicy") == "Require" else "Optional"
    return {
        "Name": operator.stack_name,
        "Enabled": True,
        "Recipients": [intake.domain],
        "TlsPolicy": tls,
        "ScanEnabled": True,
        "Actions": [
            {"S3Action": {"BucketName": intake.bucket, "ObjectKeyPrefix": PREFIX}},
            {"LambdaAction": {"FunctionArn": intake.function, "InvocationType": "Event"}},
        ],
    }
