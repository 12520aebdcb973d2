"""`quarantine doctor` with an account that has each fault.

moto answers the calls that it knows; the test answers the others instead of the wire.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import boto3
import dns.resolver
import dns.rrset
import pytest
from botocore.exceptions import EndpointConnectionError

from ops import checks
from ops.checks import CHECKS, Check, Health, Site, Unresolved
from ops.operator import Operator, Output
from tests.ops.conftest import Terminal
from tests.world import World, new_session

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:intake"
ENDPOINT = "inbound-smtp.us-east-1.amazonaws.com"
ALARMS = ("JobsDeadLettersAlarm", "IntakeFailuresAlarm", "HeldDeadLettersAlarm", "ReportsFailedAlarm")
RULE_SETS = "arn:aws:ses:us-east-1:123456789012:receipt-rule-set"
OUTPUTS = {
    "ReceiptRuleSetName": "quarantine",
    "IntakeFunctionArn": FUNCTION,
    "IntakeLogGroup": "intake-logs",
    "ReportLogGroup": "report-logs",
    "HoldLogGroup": "hold-logs",
    "ReceiptRuleArn": f"{RULE_SETS}/quarantine:receipt-rule/quarantine",
}

type Handler = Callable[..., Any]


@dataclass
class Account:
    """An account without faults, until a test changes it."""

    world: World
    stack: dict[str, Any]
    rules: list[dict[str, Any]]
    active: str | None = "quarantine"
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    sending: dict[str, Any] = field(default_factory=dict)
    dns: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    skew: timedelta = timedelta()
    handlers: dict[str, Handler] = field(default_factory=dict)

    @property
    def intake_rule(self) -> dict[str, Any]:
        return self.rules[-1]

    def client(self, service: str) -> Any:
        return self.world.session.client(service)  # type: ignore[call-overload]  # any service

    def on(self, operation: str, handler: Handler) -> None:
        """Let a function make the response of an operation, such as ses.CreateReceiptRule."""
        event = f"before-call.{operation}"
        if operation in self.handlers:
            self.world.session.events.unregister(event, self.handlers[operation])
        self.world.session.events.register_first(event, handler)
        self.handlers[operation] = handler

    def answer(self, operation: str, **parsed: Any) -> None:
        self.on(operation, lambda **_: _ok(parsed))

    def refuse(self, operation: str, code: str = "AccessDenied", message: str = "no") -> None:
        self.on(operation, lambda **_: _error(code, message))

    def remove_output(self, *names: str) -> None:
        self.stack["Outputs"] = [each for each in self.stack["Outputs"] if each["OutputKey"] not in names]

    def set_output(self, name: str, value: str) -> None:
        self.remove_output(name)
        self.stack["Outputs"].append({"OutputKey": name, "OutputValue": value})

    def add_rule(
        self, *actions: dict[str, Any], recipients: Sequence[str] = (), enabled: bool = True
    ) -> None:
        """Add a rule before the stack's."""
        rule = {"Name": "first", "Enabled": enabled, "Recipients": [*recipients], "Actions": [*actions]}
        self.rules.insert(0, rule)

    def resolve(self, name: str, kind: str) -> list[str]:
        return self.dns.get((name, kind), [])

    def identity(self, params: dict[str, Any], **_: Any) -> Any:
        name = unquote(params["url_path"].rsplit("/", 1)[-1])
        if name not in self.identities:
            return _error("NotFoundException")
        return _ok(self.identities[name])

    def rule_set(self, **_: Any) -> Any:
        parsed = {"Metadata": {"Name": self.active}, "Rules": self.rules} if self.active else {}
        return _ok(parsed)

    def date(self, **_: Any) -> Any:
        date = format_datetime(self.world.clock() + self.skew)
        return _ok({"ResponseMetadata": {"HTTPHeaders": {"date": date}}})


def _error(code: str, message: str = "no") -> Any:
    parsed = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {}}
    return SimpleNamespace(status_code=400), parsed


@pytest.fixture
def account(world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Account:
    (stack,) = world.session.client("cloudformation").describe_stacks(StackName="quarantine")["Stacks"]
    s3 = {"S3Action": {"BucketName": world.stack.environ["MAIL_BUCKET"], "ObjectKeyPrefix": "inbound/"}}
    invoke = {"LambdaAction": {"FunctionArn": FUNCTION, "InvocationType": "Event"}}
    rule = {
        "Name": "quarantine",
        "Enabled": True,
        "Recipients": ["reports.example.com"],
        "ScanEnabled": True,
        "Actions": [s3, invoke],
    }
    account = Account(world, dict(stack), [rule])
    for name, value in OUTPUTS.items():
        account.set_output(name, value)
    account.identities["reports.example.com"] = {
        "VerifiedForSendingStatus": True,
        "VerificationStatus": "SUCCESS",
        "DkimAttributes": {"SigningEnabled": True, "Status": "SUCCESS"},
    }
    account.sending = {
        "ProductionAccessEnabled": True,
        "SendingEnabled": True,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": {"Max24HourSend": 50000.0, "SentLast24Hours": 12.0},
    }
    account.dns["reports.example.com", "MX"] = [f"10 {ENDPOINT}."]
    monkeypatch.setattr(checks, "resolve", account.resolve)
    resources = [{"ResourceType": "AWS::CloudWatch::Alarm", "PhysicalResourceId": name} for name in ALARMS]
    _put_alarms(account, AlarmActions=["arn:aws:sns:us-east-1:123456789012:alarms"])
    for name in ("intake-logs", "report-logs", "hold-logs"):
        account.client("logs").create_log_group(logGroupName=name)
    assert terminal("auth", "allow", "example.com", "-m", "dmarc") == 0
    account.on("cloudformation.DescribeStacks", lambda **_: _ok({"Stacks": [account.stack]}))
    account.answer("cloudformation.ListStackResources", StackResourceSummaries=resources)
    account.on("sesv2.GetAccount", lambda **_: _ok(account.sending))
    account.on("sesv2.GetEmailIdentity", account.identity)
    account.on("ses.DescribeActiveReceiptRuleSet", account.rule_set)
    account.on("sts.GetCallerIdentity", account.date)
    return account


def _ok(parsed: dict[str, Any]) -> Any:
    return SimpleNamespace(status_code=200), parsed


def _put_alarms(account: Account, **more: Any) -> None:
    cloudwatch = account.client("cloudwatch")
    for name in ALARMS:
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Period=300,
            Threshold=0,
            Statistic="Maximum",
            **more,
        )


def _ring(account: Account) -> None:
    account.client("cloudwatch").set_alarm_state(
        AlarmName=ALARMS[0], StateValue="ALARM", StateReason="a job failed"
    )


def _send_to(output: str) -> Callable[[Account], object]:
    def send(account: Account) -> None:
        (url,) = (each["OutputValue"] for each in account.stack["Outputs"] if each["OutputKey"] == output)
        account.client("sqs").send_message(QueueUrl=url, MessageBody="{}")

    return send


def _set_parameter(account: Account, key: str, value: str) -> None:
    others = [each for each in account.stack["Parameters"] if each["ParameterKey"] != key]
    account.stack["Parameters"] = [*others, {"ParameterKey": key, "ParameterValue": value}]


def _deny_alone(account: Account) -> None:
    """Leave only a record that denies, and one that accepts nothing."""
    dynamodb, table = account.client("dynamodb"), account.world.stack.environ["SENDERS_TABLE"]
    dynamodb.delete_item(TableName=table, Key={"principal": {"S": "example.com"}, "record": {"S": "auth"}})
    item = {"principal": {"S": "bob@example.com"}, "record": {"S": "auth"}, "deny": {"BOOL": True}}
    dynamodb.put_item(TableName=table, Item=item)


def _rename_log_group(account: Account) -> None:
    logs = account.client("logs")
    logs.delete_log_group(logGroupName="report-logs")
    logs.create_log_group(logGroupName="report-logs-of-another")


def _table_gone(name: str) -> Callable[[Account], object]:
    return lambda account: account.client("dynamodb").delete_table(
        TableName=account.world.stack.environ[name]
    )


def _set_identity(**values: Any) -> Callable[[Account], object]:
    return lambda account: account.identities["reports.example.com"].update(values)


def _set_dkim(**values: Any) -> Callable[[Account], object]:
    return lambda account: account.identities["reports.example.com"]["DkimAttributes"].update(values)


def _set_mx(*records: str) -> Callable[[Account], object]:
    return lambda account: account.dns.update({("reports.example.com", "MX"): [*records]})


def _set_active(name: str | None) -> Callable[[Account], object]:
    return lambda account: setattr(account, "active", name)


def _set_rule(**values: Any) -> Callable[[Account], object]:
    return lambda account: account.intake_rule.update(values)


def _set_actions(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Account], object]:
    return lambda account: change(account.intake_rule["Actions"])


def _set_sending(**values: Any) -> Callable[[Account], object]:
    return lambda account: account.sending.update(values)


def _set_quota(most: float, sent: float) -> Callable[[Account], object]:
    return _set_sending(SendQuota={"Max24HourSend": most, "SentLast24Hours": sent})


def _first(*actions: dict[str, Any], **more: Any) -> Callable[[Account], object]:
    return lambda account: account.add_rule(*actions, **more)


def _set_skew(seconds: float) -> Callable[[Account], object]:
    return lambda account: setattr(account, "skew", timedelta(seconds=seconds))


STOP = {"StopAction": {"Scope": "RuleSet"}}
BOUNCE = {"BounceAction": {"SmtpReplyCode": "550", "Message": "no", "Sender": "a@example.com"}}
SYNCHRONOUS = {"LambdaAction": {"FunctionArn": "arn:other", "InvocationType": "RequestResponse"}}
OK, FAULT, WARNING, UNKNOWN = Health.OK, Health.FAULT, Health.WARNING, Health.UNKNOWN


def findings(terminal: Terminal) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code, and the findings by check."""
    code = terminal("doctor", output=Output.JSON)
    return code, {row["check"]: row for row in json.loads(terminal.said)}


def unhealthy(rows: dict[str, dict[str, str]]) -> dict[Check, Health]:
    return {Check(name): Health(row["verdict"]) for name, row in rows.items() if row["verdict"] != OK}


def test_a_healthy_account_has_no_fault(account: Account, terminal: Terminal) -> None:
    code, rows = findings(terminal)
    assert unhealthy(rows) == {}
    assert {row["step"] for row in rows.values()} == {""}
    assert (code, terminal.warned) == (0, "")


@pytest.mark.parametrize(
    ("broken", "expected", "seen"),
    [
        pytest.param(
            lambda account: account.identities.clear(),
            {Check.DOMAIN: FAULT, Check.SENDER: FAULT, Check.DKIM: FAULT},
            "not known to SES",
            id="no identity",
        ),
        pytest.param(
            _set_identity(VerifiedForSendingStatus=False, VerificationStatus="PENDING"),
            {Check.DOMAIN: FAULT, Check.SENDER: FAULT},
            "PENDING",
            id="identity is pending",
        ),
        pytest.param(
            lambda account: account.identities.update(
                {"example.com": account.identities.pop("reports.example.com")}
            ),
            {Check.SENDER: FAULT, Check.DKIM: FAULT},  # SES would accept it, our policy does not
            "quarantine@reports.example.com is not verified",
            id="only the domain above is verified",
        ),
        pytest.param(
            lambda account: _set_parameter(account, "Trigger", "quarantine"),
            {Check.SENDER: FAULT},
            "an answer to a report would ask for another",
            id="reports come from the trigger",
        ),
        pytest.param(
            _set_dkim(Status="PENDING"),
            {Check.DKIM: FAULT},
            "PENDING of reports.example.com",
            id="DKIM is pending",
        ),
        pytest.param(_set_dkim(Status="FAILED"), {Check.DKIM: FAULT}, "FAILED", id="DKIM has failed"),
        pytest.param(
            _set_dkim(SigningEnabled=False), {Check.DKIM: FAULT}, "signing is disabled", id="DKIM is off"
        ),
        pytest.param(_set_mx(), {Check.MX: FAULT}, "has no MX record", id="no MX"),
        pytest.param(
            _set_mx("10 mail.example.com."), {Check.MX: FAULT}, "is mail.example.com", id="another MX"
        ),
        pytest.param(
            _set_mx("10 inbound-smtp.eu-west-1.amazonaws.com."),
            {Check.MX: FAULT},
            "eu-west-1",
            id="MX of another region",
        ),
        pytest.param(
            _set_mx(f"10 {ENDPOINT}.", "20 mail.example.com."),
            {Check.MX: WARNING},
            "also has the MX record mail.example.com",
            id="a second MX",
        ),
        pytest.param(
            _set_active(None),
            {Check.RULE_SET: FAULT, Check.RULE: FAULT},
            "no rule set is active",
            id="no rule set is active",
        ),
        pytest.param(
            _set_active("other"),
            {Check.RULE_SET: FAULT, Check.RULE: FAULT},
            "other is active, the stack's rule is in quarantine",
            id="another rule set is active",
        ),
        pytest.param(
            lambda account: account.rules.clear(),
            {Check.RULE: FAULT},
            "no active rule brings mail",
            id="no rule",
        ),
        pytest.param(_set_rule(Enabled=False), {Check.RULE: FAULT}, "disabled", id="rule is disabled"),
        pytest.param(
            _set_rule(Recipients=["example.com"]),
            {Check.RULE: FAULT},
            "not among its recipients",
            id="rule of another domain",
        ),
        pytest.param(
            _set_rule(Recipients=["manual-report-request@reports.example.com"]),
            {Check.RULE: WARNING},
            "+suffix",
            id="rule of an address",
        ),
        pytest.param(_set_rule(ScanEnabled=False), {Check.RULE: WARNING}, "does not scan", id="no scan"),
        pytest.param(
            _set_actions(lambda actions: actions.pop(0)),
            {Check.RULE: FAULT},
            "does not store mail",
            id="rule does not store",
        ),
        pytest.param(
            _set_actions(lambda actions: actions.pop(1)),
            {Check.RULE: FAULT},
            "does not invoke intake",
            id="rule does not invoke",
        ),
        pytest.param(
            _set_actions(lambda actions: actions.reverse()),
            {Check.RULE: FAULT},
            "before it stores",
            id="rule invokes first",
        ),
        pytest.param(
            _set_actions(lambda actions: actions.insert(1, STOP)),
            {Check.RULE: FAULT},
            "stops before it invokes",
            id="rule stops itself",
        ),
        pytest.param(
            _set_actions(lambda actions: actions[0]["S3Action"].pop("ObjectKeyPrefix")),
            {Check.RULE: FAULT},
            "under inbound/",
            id="rule stores elsewhere",
        ),
        pytest.param(
            _set_actions(lambda actions: actions[1]["LambdaAction"].update(InvocationType="RequestResponse")),
            {Check.RULE: WARNING},
            "waits for intake",
            id="rule waits",
        ),
        pytest.param(_set_rule(Name="mine"), {Check.RULE: FAULT}, "refuse the rule mine", id="not permitted"),
        pytest.param(_first(STOP), {Check.RULE: FAULT}, "first stops mail", id="a rule before stops"),
        pytest.param(
            _first(BOUNCE, recipients=[".example.com"]),
            {Check.RULE: FAULT},
            "first stops mail",
            id="a rule before bounces",
        ),
        pytest.param(_first(SYNCHRONOUS), {Check.RULE: WARNING}, "first waits", id="a rule before may stop"),
        pytest.param(_first(STOP, enabled=False), {}, "", id="a disabled rule before"),
        pytest.param(
            _first(STOP, recipients=["example.com", "bob@reports.example.com"]), {}, "", id="others' rule"
        ),
        pytest.param(
            _set_sending(ProductionAccessEnabled=False), {Check.SANDBOX: FAULT}, "sandbox", id="sandbox"
        ),
        pytest.param(
            _set_sending(SendingEnabled=False),
            {Check.SENDING: FAULT},
            "sending is disabled",
            id="sending is off",
        ),
        pytest.param(
            _set_sending(EnforcementStatus="SHUTDOWN"), {Check.SENDING: FAULT}, "paused", id="SES paused it"
        ),
        pytest.param(
            _set_sending(EnforcementStatus="PROBATION"),
            {Check.SENDING: WARNING},
            "under review",
            id="SES looks at it",
        ),
        pytest.param(_set_quota(200, 200), {Check.QUOTA: FAULT}, "0 of 200", id="no quota left"),
        pytest.param(_set_quota(200, 181), {Check.QUOTA: WARNING}, "19 of 200", id="little quota left"),
        pytest.param(_set_quota(-1, 9), {}, "", id="no limit"),
        pytest.param(
            _table_gone("SENDERS_TABLE"),
            {Check.SENDERS: FAULT, Check.PERMISSION: UNKNOWN},
            "there is no table",
            id="senders table is gone",
        ),
        pytest.param(
            _table_gone("QUARANTINE_TABLE"),
            {Check.QUARANTINE: FAULT},
            "there is no table",
            id="quarantine table is gone",
        ),
        pytest.param(
            _table_gone("REQUESTS_TABLE"),
            {Check.REQUESTS: FAULT},
            "there is no table",
            id="requests table is gone",
        ),
        pytest.param(
            lambda account: account.answer("dynamodb.DescribeTable", Table={"TableStatus": "ARCHIVED"}),
            dict.fromkeys([Check.SENDERS, Check.QUARANTINE, Check.REQUESTS], FAULT),
            "is ARCHIVED",
            id="tables are archived",
        ),
        pytest.param(_deny_alone, {Check.PERMISSION: FAULT}, "no record allows anybody", id="nobody may ask"),
        pytest.param(
            _send_to("JobsDeadLettersUrl"),
            {Check.FAILURES: FAULT},
            "1 in JobsDeadLetters",
            id="a job has failed",
        ),
        pytest.param(
            _send_to("IntakeFailuresUrl"),
            {Check.FAILURES: FAULT},
            "1 in IntakeFailures",
            id="an event has failed",
        ),
        pytest.param(_ring, {Check.ALARMS: FAULT}, ALARMS[0], id="an alarm rings"),
        pytest.param(
            lambda account: account.client("cloudwatch").delete_alarms(AlarmNames=[ALARMS[1]]),
            {Check.ALARMS: WARNING},
            f"there is no alarm {ALARMS[1]}",
            id="an alarm is gone",
        ),
        pytest.param(
            _put_alarms,
            {Check.ALARMS: WARNING},
            "nobody would be notified",
            id="no alarm is heard",
        ),
        pytest.param(
            _rename_log_group,
            {Check.LOGS: FAULT},
            "there is no log group report-logs",
            id="a log group is gone",
        ),
        pytest.param(_set_skew(59), {}, "", id="a clock that is nearly right"),
        pytest.param(_set_skew(90), {Check.CLOCK: WARNING}, "90 s behind", id="a clock behind"),
        pytest.param(_set_skew(-301), {Check.CLOCK: FAULT}, "301 s ahead", id="a clock too far ahead"),
    ],
)
def test_a_fault_is_found(
    account: Account,
    terminal: Terminal,
    broken: Callable[[Account], object],
    expected: dict[Check, Health],
    seen: str,
) -> None:
    broken(account)
    code, rows = findings(terminal)
    assert unhealthy(rows) == expected
    assert all(rows[check]["step"] for check in expected)
    assert seen in "; ".join(rows[check]["seen"] for check in expected)
    assert code == (3 if FAULT in expected.values() else 0)


ACCOUNT = {Check.SANDBOX, Check.SENDING, Check.QUOTA}
NO_STACK = set(Check) - ACCOUNT - {Check.REGION, Check.RULE_SET, Check.ALARMS, Check.CLOCK}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("sesv2.GetAccount", ACCOUNT),
        ("sesv2.GetEmailIdentity", {Check.DOMAIN, Check.SENDER, Check.DKIM}),
        ("ses.DescribeActiveReceiptRuleSet", {Check.RULE_SET, Check.RULE}),
        ("dynamodb.DescribeTable", {Check.SENDERS, Check.QUARANTINE, Check.REQUESTS}),
        ("dynamodb.Scan", {Check.SENDERS, Check.QUARANTINE, Check.REQUESTS, Check.PERMISSION}),
        ("sqs.GetQueueAttributes", {Check.FAILURES}),
        ("cloudformation.ListStackResources", {Check.ALARMS}),
        ("cloudwatch.DescribeAlarms", {Check.ALARMS}),
        ("cloudwatch-logs.DescribeLogGroups", {Check.LOGS}),
        ("sts.GetCallerIdentity", {Check.CLOCK}),
    ],
)
@pytest.mark.parametrize("code", ["AccessDenied", "ServiceUnavailable"])
def test_what_may_not_be_looked_at_is_unknown(
    account: Account, terminal: Terminal, operation: str, expected: set[Check], code: str
) -> None:
    account.refuse(operation, code)
    exit_code, rows = findings(terminal)
    assert unhealthy(rows) == dict.fromkeys(expected, UNKNOWN)
    assert all(rows[check]["step"] for check in expected)
    assert exit_code == 0


def test_a_refusal_is_named_with_the_permission_to_ask_for(account: Account, terminal: Terminal) -> None:
    account.refuse("sesv2.GetAccount", "AccessDeniedException")
    _, rows = findings(terminal)
    assert rows[Check.SANDBOX]["seen"] == "AccessDeniedException: no"
    assert rows[Check.SANDBOX]["step"] == "get permission for GetAccount"


def test_a_long_answer_is_one_short_line(account: Account, terminal: Terminal) -> None:
    account.refuse("sesv2.GetAccount", "404", "<html>\n" * 100)
    _, rows = findings(terminal)
    assert rows[Check.QUOTA]["seen"].startswith("404: <html> <html>")
    assert len(rows[Check.QUOTA]["seen"]) <= 220


def test_a_service_that_cannot_be_reached_is_unknown(account: Account, terminal: Terminal) -> None:
    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://email.us-east-1.amazonaws.com")

    account.on("sesv2.GetAccount", unreachable)
    _, rows = findings(terminal)
    assert unhealthy(rows) == dict.fromkeys(ACCOUNT, UNKNOWN)
    assert "EndpointConnectionError" in rows[Check.QUOTA]["seen"]


def test_a_stack_that_may_not_be_described_leaves_the_account(account: Account, terminal: Terminal) -> None:
    account.refuse("cloudformation.DescribeStacks")
    code, rows = findings(terminal)
    assert unhealthy(rows) == dict.fromkeys(NO_STACK | {Check.RULE_SET}, UNKNOWN)
    assert code == 0


def test_a_stack_that_is_not_there_is_an_error(account: Account, terminal: Terminal) -> None:
    terminal.operator = replace(terminal.operator, session=new_session(), stack_name="nowhere")
    assert terminal("doctor") == 1
    assert terminal.warned.startswith("error: no stack nowhere")


def test_an_output_of_an_older_stack_is_unknown(account: Account, terminal: Terminal) -> None:
    account.remove_output("IntakeFunctionArn")
    _, rows = findings(terminal)
    assert unhealthy(rows) == {Check.RULE: UNKNOWN}
    assert "IntakeFunctionArn" in rows[Check.RULE]["seen"]


def test_a_stack_that_leaves_the_rule_to_the_account_is_healthy(account: Account, terminal: Terminal) -> None:
    _set_parameter(account, "CreateReceiptRule", "false")
    account.remove_output("ReceiptRuleSetName")
    account.set_output("ReceiptRuleArn", f"{RULE_SETS}/*:receipt-rule/*")
    account.active = "other"
    account.intake_rule["Name"] = "mine"
    code, rows = findings(terminal)
    assert (code, unhealthy(rows)) == (0, {})


def test_the_clock_is_told_by_a_refusal_too(account: Account, terminal: Terminal) -> None:
    account.skew = timedelta(hours=-1)
    date = account.date()[1]["ResponseMetadata"]
    error = {"Error": {"Code": "RequestTimeTooSkewed"}, "ResponseMetadata": date}
    account.on("sts.GetCallerIdentity", lambda **_: (SimpleNamespace(status_code=403), error))
    _, rows = findings(terminal)
    assert unhealthy(rows) == {Check.CLOCK: FAULT}


@pytest.mark.parametrize(
    ("name", "records", "expected"),
    [
        pytest.param("eu-west-1", [], OK, id="a region of the list"),
        pytest.param("us-west-1", ["192.0.2.1"], OK, id="a region that came later"),
        pytest.param("us-west-1", [], FAULT, id="a region that only sends"),
    ],
)
def test_the_region_has_to_receive(name: str, records: list[str], expected: Health) -> None:
    def asked(host: str, kind: str) -> list[str]:
        assert (host, kind) == (f"inbound-smtp.{name}.amazonaws.com", "A")
        return records

    operator = Operator(boto3.Session(region_name=name), "quarantine")
    assert checks.region(Site(operator, asked)).verdict is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("NXDOMAIN", [], id="no such name"),
        pytest.param("NoAnswer", [], id="no record"),
        pytest.param("LifetimeTimeout", None, id="no answer"),
        pytest.param("NoResolverConfiguration", None, id="no resolver"),
    ],
)
def test_no_answer_is_not_no_record(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: list[str] | None
) -> None:
    raised = getattr(dns.resolver, name)

    def fail(*_: object, **__: object) -> None:
        raise raised.__new__(raised)

    monkeypatch.setattr(dns.resolver, "resolve", fail)
    if expected is None:
        with pytest.raises(Unresolved, match=name):
            checks.resolve("reports.example.com", "MX")
    else:
        assert checks.resolve("reports.example.com", "MX") == expected


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    with pytest.raises(Unresolved, match="dnspython is not installed"):
        checks.resolve("reports.example.com", "MX")


def test_records_are_read_as_a_zone_file_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    records = dns.rrset.from_text("reports.example.com.", 60, "IN", "MX", f"10 {ENDPOINT}.")
    monkeypatch.setattr(dns.resolver, "resolve", lambda *_, **__: records)
    assert checks.resolve("reports.example.com", "MX") == [f"10 {ENDPOINT}."]


def test_dns_that_does_not_answer_is_unknown(
    account: Account, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(name: str, kind: str) -> list[str]:
        raise Unresolved(f"Timeout of {name}")

    monkeypatch.setattr(checks, "resolve", silent)
    code, rows = findings(terminal)
    assert (code, unhealthy(rows)) == (0, {Check.MX: UNKNOWN})


def test_a_person_reads_verdicts_as_words(account: Account, terminal: Terminal) -> None:
    account.sending["ProductionAccessEnabled"] = False
    account.skew = timedelta(seconds=90)
    account.refuse("sqs.GetQueueAttributes")
    assert terminal("doctor") == 3
    words = {line.split()[0] for line in terminal.said.splitlines()}
    assert words >= set(Health)
    assert "request production access" in terminal.said


def test_every_word_has_its_check() -> None:
    assert set(CHECKS) == set(Check)
