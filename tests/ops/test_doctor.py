"""`quarantine doctor` with an account that has each fault.

moto answers the calls that it knows; the test answers the others instead of the wire.
"""

import importlib.metadata
import io
import json
import shlex
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
from botocore import xform_name
from botocore.exceptions import EndpointConnectionError
from rich.console import Console

from ops import checks, site
from ops.checks import CHECKS
from ops.cli import run
from ops.doctor import FAULTY
from ops.operator import Operator, Output
from ops.site import Check, Health, Site, Unresolved
from tests.ops.conftest import Terminal
from tests.world import World, new_session

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:intake"
LAYER = "arn:aws:lambda:us-east-1:123456789012:layer:quarantine"
FUNCTIONS = ("intake", "report", "hold", "feedback", "digest")
DIGEST = "arn:aws:lambda:us-east-1:123456789012:function:digest"
RULE = "arn:aws:events:us-east-1:123456789012:rule/told"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/default"
TOPIC = "arn:aws:sns:us-east-1:123456789012:oncall"
VERSION = importlib.metadata.version("quarantine-report")
ENDPOINT = "inbound-smtp.us-east-1.amazonaws.com"
ALARMS = ("JobsDeadLettersAlarm", "IntakeFailuresAlarm", "HeldDeadLettersAlarm", "ReportsFailedAlarm")
RULE_SETS = "arn:aws:ses:us-east-1:123456789012:receipt-rule-set"
OUTPUTS = {
    "ReceiptRuleSetName": "quarantine",
    "IntakeFunctionArn": FUNCTION,
    "IntakeLogGroup": "intake-logs",
    "ReportLogGroup": "report-logs",
    "HoldLogGroup": "hold-logs",
    "FeedbackLogGroup": "feedback-logs",
    "DigestLogGroup": "digest-logs",
    "DigestFunctionArn": DIGEST,
    "DigestScheduleName": "every-five-minutes",
    "ConfigurationSetName": "quarantine",
    "SendingEventsRuleName": "told",
    "ReceiptRuleArn": f"{RULE_SETS}/quarantine:receipt-rule/quarantine",
    "MailFromMxRecord": "10 feedback-smtp.us-east-1.amazonses.com",
    "Version": VERSION,
    **{f"{name.title()}FunctionName": name for name in FUNCTIONS},
}
MAPPING = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
TOKENS = ("one", "two", "three")

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
    layers: dict[str, list[str]] = field(default_factory=lambda: {name: [f"{LAYER}:3"] for name in FUNCTIONS})
    reserved: dict[str, int] = field(default_factory=dict)
    mappings: dict[str, list[str]] = field(
        default_factory=lambda: {"report": ["Enabled"], "hold": ["Enabled"], "feedback": ["Enabled"]}
    )
    intake_policy: list[dict[str, Any]] = field(default_factory=list)

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

    def configuration(self, params: dict[str, Any], **_: Any) -> Any:
        function = params["url_path"].split("/")[-2]
        return _ok({"Layers": [{"Arn": arn} for arn in self.layers[function]]})

    def concurrency(self, params: dict[str, Any], **_: Any) -> Any:
        function = params["url_path"].split("/")[-2]
        found = {"ReservedConcurrentExecutions": self.reserved[function]} if function in self.reserved else {}
        return _ok(found)

    def sources(self, params: dict[str, Any], **_: Any) -> Any:
        function = params["query_string"]["FunctionName"]
        states = self.mappings[function]
        return _ok({"EventSourceMappings": [{"UUID": MAPPING, "State": state} for state in states]})

    def policy(self, **_: Any) -> Any:
        if not self.intake_policy:
            return _error("ResourceNotFoundException")
        return _ok({"Policy": json.dumps({"Statement": self.intake_policy})})

    def measure(self, function: str, metric: str, value: float) -> None:
        """Let CloudWatch have a value of Lambda's, of half an hour ago."""
        self.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": metric,
                    "Dimensions": [{"Name": "FunctionName", "Value": function}],
                    "Timestamp": self.world.clock() - timedelta(minutes=30),
                    "Value": value,
                }
            ],
        )

    def output(self, name: str) -> str:
        (value,) = (each["OutputValue"] for each in self.stack["Outputs"] if each["OutputKey"] == name)
        return str(value)

    def date(self, **_: Any) -> Any:
        date = format_datetime(self.world.clock() + self.skew)
        answer = {"Arn": "arn:aws:iam::123456789012:user/ann"}
        return _ok({**answer, "ResponseMetadata": {"HTTPHeaders": {"date": date}}})


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
        "DkimAttributes": {"SigningEnabled": True, "Status": "SUCCESS", "Tokens": [*TOKENS]},
    }
    for token in TOKENS:
        host = f"{token}._domainkey.reports.example.com"
        account.dns[host, "CNAME"] = [f"{token}.dkim.amazonses.com."]
    account.sending = {
        "ProductionAccessEnabled": True,
        "SendingEnabled": True,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": {"Max24HourSend": 50000.0, "SentLast24Hours": 12.0},
    }
    account.dns["reports.example.com", "MX"] = [f"10 {ENDPOINT}."]
    monkeypatch.setattr(site, "resolve", account.resolve)
    resources = [{"ResourceType": "AWS::CloudWatch::Alarm", "PhysicalResourceId": name} for name in ALARMS]
    resources.append({"ResourceType": "AWS::Lambda::LayerVersion", "PhysicalResourceId": f"{LAYER}:3"})
    _subscribe(account, 1)
    _put_alarms(account, AlarmActions=[TOPIC])
    _admit_services(account)
    _publish(account)
    _tell_of_sent_mail(account)
    _tick(account)
    for name in ("intake-logs", "report-logs", "hold-logs", "feedback-logs", "digest-logs"):
        account.client("logs").create_log_group(logGroupName=name)
    assert terminal("auth", "allow", "example.com", "-m", "dmarc") == 0
    account.on("cloudformation.DescribeStacks", lambda **_: _ok({"Stacks": [account.stack]}))
    account.answer("cloudformation.ListStackResources", StackResourceSummaries=resources)
    account.on("sesv2.GetAccount", lambda **_: _ok(account.sending))
    account.on("sesv2.GetEmailIdentity", account.identity)
    account.on("ses.DescribeActiveReceiptRuleSet", account.rule_set)
    account.on("sts.GetCallerIdentity", account.date)
    account.on("lambda.GetFunctionConfiguration", account.configuration)
    account.on("lambda.GetFunctionConcurrency", account.concurrency)
    account.on("lambda.ListEventSourceMappings", account.sources)
    account.on("lambda.GetPolicy", account.policy)
    return account


def _tick(account: Account, arn: str = DIGEST, state: str = "ENABLED", late: float = 42) -> None:
    """Let there be the schedule of the template, and a run of digest."""
    role = "arn:aws:iam::123456789012:role/schedule"
    account.answer("scheduler.GetSchedule", State=state, Target={"Arn": arn, "RoleArn": role})
    dimensions = {"stack": "quarantine", "service": "digest"}
    account.client("cloudwatch").put_metric_data(
        Namespace="QuarantineReport",
        MetricData=[
            {
                "MetricName": "DigestsLate",
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                "Timestamp": account.world.clock.now - timedelta(minutes=5),
                "Value": late,
            }
        ],
    )


def _never_tick(account: Account) -> None:
    account.answer("cloudwatch.GetMetricStatistics", Datapoints=[], Label="x")


def _statement(service: str, action: str, resource: str, **condition: dict[str, str]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": action,
        "Resource": resource,
        "Condition": condition or {"StringEquals": {"AWS:SourceAccount": "123456789012"}},
    }


DENIAL = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "*",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def _admit_services(account: Account) -> None:
    """Give the bucket, the queue and intake the policies of the template."""
    bucket, url = account.output("MailBucketName"), account.output("HeldQueueUrl")
    rule = {"ArnLike": {"AWS:SourceArn": OUTPUTS["ReceiptRuleArn"]}}
    _put_bucket_policy(account, _statement("ses", "s3:PutObject", f"arn:aws:s3:::{bucket}/inbound/*", **rule))
    account.intake_policy.append(_statement("ses", "lambda:InvokeFunction", FUNCTION, **rule))
    sqs = account.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    _put_queue_policy(account, _statement("s3", "sqs:SendMessage", queue))
    _admit_events(account)


def _feedback_queue(account: Account) -> str:
    attributes = account.client("sqs").get_queue_attributes(
        QueueUrl=account.output("FeedbackQueueUrl"), AttributeNames=["QueueArn"]
    )
    return str(attributes["Attributes"]["QueueArn"])


def _admit_events(account: Account, rule: str = RULE) -> None:
    statement = _statement(
        *("events", "sqs:SendMessage", _feedback_queue(account)), ArnEquals={"aws:SourceArn": rule}
    )
    policy = json.dumps({"Version": "2012-10-17", "Statement": [DENIAL, statement]})
    account.client("sqs").set_queue_attributes(
        QueueUrl=account.output("FeedbackQueueUrl"), Attributes={"Policy": policy}
    )


def _publish(account: Account, **changed: Any) -> None:
    """Let SES publish the events of the configuration set, with what is changed."""
    destination = {
        "Name": "eventbridge",
        "Enabled": True,
        "MatchingEventTypes": ["BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY", "REJECT"],
        "EventBridgeDestination": {"EventBusArn": BUS},
    }
    account.answer("sesv2.GetConfigurationSetEventDestinations", EventDestinations=[destination | changed])


def _tell_of_sent_mail(account: Account, state: str = "ENABLED", target: str | None = None) -> None:
    account.answer("eventbridge.DescribeRule", Name="told", State=state)
    targets = [{"Id": "feedback", "Arn": target or _feedback_queue(account)}]
    account.answer("eventbridge.ListTargetsByRule", Targets=targets)


def _put_bucket_policy(account: Account, *statements: dict[str, Any]) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [DENIAL, *statements]})
    account.client("s3").put_bucket_policy(Bucket=account.output("MailBucketName"), Policy=policy)


def _put_queue_policy(account: Account, *statements: dict[str, Any]) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [DENIAL, *statements]})
    url = account.output("HeldQueueUrl")
    account.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def _notify(account: Account, **changed: Any) -> None:
    """Let the bucket tell hold's queue, with what is changed; nobody without."""
    s3, bucket = account.client("s3"), account.output("MailBucketName")
    (told,) = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    configuration = {"QueueConfigurations": [{**told, **changed}]} if changed else {}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)


def _prefix(value: str) -> dict[str, Any]:
    return {"Key": {"FilterRules": [{"Name": "prefix", "Value": value}]}}


def _set_mapping(function: str, *states: str) -> Callable[[Account], object]:
    return lambda account: account.mappings.update({function: [*states]})


def _set_intake_policy(*statements: dict[str, Any]) -> Callable[[Account], object]:
    return lambda account: account.intake_policy.__setitem__(slice(None), statements)


def _forget_cnames(*tokens: str) -> Callable[[Account], object]:
    def forget(account: Account) -> None:
        for token in tokens:
            del account.dns[f"{token}._domainkey.reports.example.com", "CNAME"]

    return forget


def _mail_from(*hosts: str) -> Callable[[Account], object]:
    def publish(account: Account) -> None:
        _set_parameter(account, "MailFromDomain", "bounce.reports.example.com")
        account.dns["bounce.reports.example.com", "MX"] = [*hosts]

    return publish


def attach_requests(account: Account) -> None:
    """Attach a table as DynamoDB restores it: without TTL and without recovery to a point in time."""
    _set_parameter(account, "ExistingRequestsTable", "restored")
    account.set_output("RequestsTableName", "restored")
    account.client("dynamodb").create_table(
        TableName="restored",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "request_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "request_id", "AttributeType": "S"}],
    )


def _subscribe(account: Account, confirmed: int) -> None:
    account.answer("sns.GetTopicAttributes", Attributes={"SubscriptionsConfirmed": str(confirmed)})


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


def _ask_somebody_unproven(account: Account) -> None:
    administrators = ["it@elsewhere.example", "alice@example.com"]
    account.world.records.put_auth("example.com", ["dmarc"], administrators=administrators)


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
            {Check.RULE_SET: FAULT, Check.RULE: FAULT, Check.SES_MAY: UNKNOWN},
            "no rule set is active",
            id="no rule set is active",
        ),
        pytest.param(
            _set_active("other"),
            {Check.RULE_SET: FAULT, Check.RULE: FAULT, Check.SES_MAY: UNKNOWN},
            "other is active, the stack's rule is in quarantine",
            id="another rule set is active",
        ),
        pytest.param(
            lambda account: account.rules.clear(),
            {Check.RULE: FAULT, Check.SES_MAY: UNKNOWN},
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
        pytest.param(
            _set_rule(Name="mine"),
            {Check.RULE: FAULT, Check.SES_MAY: UNKNOWN},
            "refuse the rule mine",
            id="not permitted",
        ),
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
            {Check.SENDERS: FAULT, Check.PERMISSION: UNKNOWN, Check.ADMINISTRATORS: UNKNOWN},
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
            dict.fromkeys([Check.SENDERS, Check.QUARANTINE, Check.REQUESTS, Check.MAILBOXES], FAULT),
            "is ARCHIVED",
            id="tables are archived",
        ),
        pytest.param(
            _ask_somebody_unproven,
            {Check.ADMINISTRATORS: WARNING},
            "no record proves it@elsewhere.example",
            id="an administrator can never answer",
        ),
        pytest.param(
            lambda account: _tick(account, state="DISABLED"),
            {Check.SCHEDULE: FAULT},
            "is disabled, so no report comes by itself",
            id="the schedule is switched off",
        ),
        pytest.param(
            lambda account: _tick(account, FUNCTION),
            {Check.SCHEDULE: FAULT},
            f"invokes {FUNCTION}, not digest",
            id="the schedule invokes another function",
        ),
        pytest.param(
            lambda account: account.refuse("scheduler.GetSchedule", "ResourceNotFoundException"),
            {Check.SCHEDULE: FAULT},
            "there is no schedule every-five-minutes",
            id="the schedule is gone",
        ),
        pytest.param(
            _never_tick,
            {Check.SCHEDULE: FAULT},
            "no run of digest came to its end within the last hour",
            id="digest has not run",
        ),
        pytest.param(
            lambda account: _tick(account, late=4000),
            {Check.SCHEDULE: WARNING},
            "a scheduled report was 66 minutes late",
            id="a digest is late",
        ),
        pytest.param(
            _table_gone("MAILBOXES_TABLE"),
            {Check.MAILBOXES: FAULT},
            "there is no table",
            id="mailboxes table is gone",
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
            lambda account: _put_alarms(account, AlarmActions=[TOPIC], ActionsEnabled=False),
            {Check.ALARMS: WARNING},
            "4 of 4 alarms notify nobody",
            id="alarms are muted",
        ),
        pytest.param(
            lambda account: _subscribe(account, 0),
            {Check.ALARMS: WARNING},
            "nobody has confirmed a subscription",
            id="nobody has subscribed to the topic",
        ),
        pytest.param(
            lambda account: account.refuse("sns.GetTopicAttributes", "NotFound"),
            {Check.ALARMS: WARNING},
            "no such topic",
            id="the topic is gone",
        ),
        pytest.param(
            _forget_cnames(*TOKENS),
            {Check.DKIM: FAULT},
            "3 of 3 DKIM keys of reports.example.com are not in the DNS",
            id="no DKIM key is published",
        ),
        pytest.param(
            _forget_cnames("two"), {Check.DKIM: WARNING}, "1 of 3 DKIM keys", id="a DKIM key is missing"
        ),
        pytest.param(
            _set_dkim(SigningAttributesOrigin="EXTERNAL", Tokens=["mine"]), {}, "", id="a DKIM key of ours"
        ),
        pytest.param(
            _mail_from("10 feedback-smtp.us-east-1.amazonses.com."), {}, "", id="MAIL FROM is published"
        ),
        pytest.param(_mail_from(), {Check.MAIL_FROM: WARNING}, "is missing", id="MAIL FROM has no MX"),
        pytest.param(
            _mail_from("10 feedback-smtp.us-east-1.amazonses.com.", "20 mail.example.com."),
            {Check.MAIL_FROM: WARNING},
            "mail.example.com",
            id="MAIL FROM has two MX records",
        ),
        pytest.param(
            attach_requests, {Check.REQUESTS: WARNING}, "lacks settings", id="a restored table is bare"
        ),
        pytest.param(
            lambda account: account.layers.update(hold=[f"{LAYER}:2"]),
            {Check.VERSION: FAULT},
            f"hold runs {LAYER}:2",
            id="a function has an old layer",
        ),
        pytest.param(
            lambda account: account.layers.update(intake=[]),
            {Check.VERSION: FAULT},
            "intake runs no layer",
            id="a function has no layer",
        ),
        pytest.param(
            lambda account: account.set_output("Version", "0.0.9"),
            {Check.VERSION: WARNING},
            f"the stack has version 0.0.9, this command {VERSION}",
            id="another version of the command",
        ),
        pytest.param(
            _set_intake_policy(), {Check.SES_MAY: FAULT}, "may not invoke intake", id="intake has no policy"
        ),
        pytest.param(
            _set_intake_policy(_statement("s3", "lambda:InvokeFunction", FUNCTION)),
            {Check.SES_MAY: FAULT},
            "may not invoke intake",
            id="intake admits another service",
        ),
        pytest.param(
            _set_intake_policy(
                _statement(
                    *("ses", "lambda:InvokeFunction", FUNCTION),
                    ArnLike={"AWS:SourceArn": f"{RULE_SETS}/other:receipt-rule/*"},
                )
            ),
            {Check.SES_MAY: FAULT},
            "may not invoke intake",
            id="intake admits another rule",
        ),
        pytest.param(
            _put_bucket_policy,
            {Check.SES_MAY: FAULT},
            "may not store mail",
            id="the bucket does not admit SES",
        ),
        pytest.param(
            lambda account: account.client("s3").delete_bucket_policy(
                Bucket=account.output("MailBucketName")
            ),
            {Check.SES_MAY: FAULT},
            "may not store mail",
            id="the bucket has no policy",
        ),
        pytest.param(_notify, {Check.NOTIFICATION: FAULT}, "does not tell hold", id="no notification"),
        pytest.param(
            lambda account: _notify(account, Filter=_prefix("inbound/")),
            {Check.NOTIFICATION: FAULT},
            "does not tell hold",
            id="notification of another prefix",
        ),
        pytest.param(
            lambda account: _notify(account, Events=["s3:ObjectRemoved:*"]),
            {Check.NOTIFICATION: FAULT},
            "does not tell hold",
            id="notification of another event",
        ),
        pytest.param(
            _put_queue_policy,
            {Check.NOTIFICATION: FAULT},
            "S3 may not tell",
            id="the queue does not admit S3",
        ),
        pytest.param(
            lambda account: _publish(account, Enabled=False),
            {Check.SENT_MAIL: FAULT},
            "SES does not tell EventBridge of each event",
            id="events are switched off",
        ),
        pytest.param(
            lambda account: _publish(account, MatchingEventTypes=["BOUNCE", "COMPLAINT"]),
            {Check.SENT_MAIL: FAULT},
            "SES does not tell EventBridge of each event",
            id="some events are not published",
        ),
        pytest.param(
            lambda account: account.refuse("sesv2.GetConfigurationSetEventDestinations", "NotFoundException"),
            {Check.SENT_MAIL: FAULT},
            "there is no configuration set quarantine",
            id="the configuration set is gone",
        ),
        pytest.param(
            lambda account: account.refuse("eventbridge.DescribeRule", "ResourceNotFoundException"),
            {Check.SENT_MAIL: FAULT},
            "there is no rule told",
            id="the rule of events is gone",
        ),
        pytest.param(
            lambda account: _tell_of_sent_mail(account, state="DISABLED"),
            {Check.SENT_MAIL: FAULT},
            "the rule told is disabled",
            id="the rule of events is disabled",
        ),
        pytest.param(
            lambda account: _tell_of_sent_mail(account, target="arn:aws:sqs:us-east-1:123456789012:other"),
            {Check.SENT_MAIL: FAULT},
            "does not tell feedback's queue",
            id="the rule of events has another target",
        ),
        pytest.param(
            lambda account: _admit_events(account, rule=f"{RULE}-of-another"),
            {Check.SENT_MAIL: FAULT},
            "EventBridge may not tell",
            id="the queue does not admit the rule",
        ),
        pytest.param(
            _send_to("FeedbackDeadLettersUrl"),
            {Check.FAILURES: FAULT},
            "1 in FeedbackDeadLetters",
            id="an event about sent mail has failed",
        ),
        pytest.param(
            _set_mapping("hold", "Disabled"),
            {Check.SOURCES: FAULT},
            "mapping of hold is Disabled",
            id="an event source is disabled",
        ),
        pytest.param(
            _set_mapping("report"), {Check.SOURCES: FAULT}, "queue of report", id="an event source is gone"
        ),
        pytest.param(
            lambda account: account.reserved.update(intake=0),
            {Check.CONCURRENCY: FAULT},
            "intake is switched off",
            id="a function is switched off",
        ),
        pytest.param(lambda account: account.reserved.update(intake=5), {}, "", id="concurrency is reserved"),
        pytest.param(
            lambda account: account.measure("report", "Throttles", 7),
            {Check.THROTTLES: WARNING},
            "7 of report",
            id="a function is throttled",
        ),
        pytest.param(
            lambda account: account.measure("intake", "AsyncEventAge", 601_000),
            {Check.WAITING: WARNING},
            "601 s",
            id="mail waits for intake",
        ),
        pytest.param(
            lambda account: account.measure("intake", "AsyncEventAge", 599_000),
            {},
            "",
            id="mail waited a bit",
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


@pytest.mark.parametrize("metric", [None, "NumberOfEmptyReceives", "NumberOfMessagesReceived"])
def test_an_agent_must_have_asked_within_the_hour(
    metric: str | None, account: Account, terminal: Terminal
) -> None:
    _set_parameter(account, "ReleaseBy", "agent")
    account.set_output("ReleasesQueueUrl", "https://sqs.example/123456789012/quarantine-releases.fifo")
    if metric is not None:
        account.client("cloudwatch").put_metric_data(
            Namespace="AWS/SQS",
            MetricData=[
                {
                    "MetricName": metric,
                    "Dimensions": [{"Name": "QueueName", "Value": "quarantine-releases.fifo"}],
                    "Timestamp": account.world.clock() - timedelta(minutes=30),
                    "Value": 1,
                }
            ],
        )
    _, rows = findings(terminal)
    assert unhealthy(rows) == ({Check.AGENTS: FAULT} if metric is None else {})
    assert ("last asked" in rows[Check.AGENTS]["seen"]) == (metric is not None)


ACCOUNT = {Check.SANDBOX, Check.SENDING, Check.QUOTA}
NO_STACK = set(Check) - ACCOUNT - {Check.REGION, Check.RULE_SET, Check.ALARMS, Check.CLOCK}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("sesv2.GetAccount", ACCOUNT),
        ("sesv2.GetEmailIdentity", {Check.DOMAIN, Check.SENDER, Check.DKIM}),
        ("ses.DescribeActiveReceiptRuleSet", {Check.RULE_SET, Check.RULE, Check.SES_MAY}),
        ("dynamodb.DescribeTable", {Check.SENDERS, Check.QUARANTINE, Check.REQUESTS, Check.MAILBOXES}),
        (
            "dynamodb.Scan",
            {
                *(Check.SENDERS, Check.QUARANTINE, Check.REQUESTS, Check.MAILBOXES),
                *(Check.PERMISSION, Check.ADMINISTRATORS),
            },
        ),
        (
            "sqs.GetQueueAttributes",
            {Check.FAILURES, Check.NOTIFICATION, Check.SENT_MAIL, Check.SOURCES},
        ),
        ("sesv2.GetConfigurationSetEventDestinations", {Check.SENT_MAIL}),
        ("eventbridge.DescribeRule", {Check.SENT_MAIL}),
        ("eventbridge.ListTargetsByRule", {Check.SENT_MAIL}),
        ("cloudformation.ListStackResources", {Check.ALARMS, Check.VERSION}),
        ("cloudwatch.DescribeAlarms", {Check.ALARMS}),
        ("cloudwatch.GetMetricStatistics", {Check.THROTTLES, Check.WAITING, Check.SCHEDULE}),
        ("scheduler.GetSchedule", {Check.SCHEDULE}),
        ("sns.GetTopicAttributes", {Check.ALARMS}),
        ("lambda.GetFunctionConfiguration", {Check.VERSION}),
        ("lambda.GetFunctionConcurrency", {Check.CONCURRENCY}),
        ("lambda.ListEventSourceMappings", {Check.SOURCES}),
        ("lambda.GetPolicy", {Check.SES_MAY}),
        ("s3.GetBucketPolicy", {Check.SES_MAY}),
        ("s3.GetBucketNotificationConfiguration", {Check.NOTIFICATION}),
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
    assert unhealthy(rows) == {Check.RULE: UNKNOWN, Check.SES_MAY: UNKNOWN}
    assert "IntakeFunctionArn" in rows[Check.RULE]["seen"]


def test_a_stack_that_leaves_the_rule_to_the_account_is_healthy(account: Account, terminal: Terminal) -> None:
    _set_parameter(account, "CreateReceiptRule", "false")
    account.remove_output("ReceiptRuleSetName")
    account.set_output("ReceiptRuleArn", f"{RULE_SETS}/*:receipt-rule/*")
    account.active = "other"
    account.intake_rule["Name"] = "mine"
    any_rule = {"ArnLike": {"AWS:SourceArn": f"{RULE_SETS}/*:receipt-rule/*"}}
    account.intake_policy[:] = [_statement("ses", "lambda:InvokeFunction", FUNCTION, **any_rule)]
    objects = f"arn:aws:s3:::{account.output('MailBucketName')}/inbound/*"
    _put_bucket_policy(account, _statement("ses", "s3:PutObject", objects, **any_rule))
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
            site.resolve("reports.example.com", "MX")
    else:
        assert site.resolve("reports.example.com", "MX") == expected


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    with pytest.raises(Unresolved, match="dnspython is not installed"):
        site.resolve("reports.example.com", "MX")


def test_records_are_read_as_a_zone_file_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    records = dns.rrset.from_text("reports.example.com.", 60, "IN", "MX", f"10 {ENDPOINT}.")
    monkeypatch.setattr(dns.resolver, "resolve", lambda *_, **__: records)
    assert site.resolve("reports.example.com", "MX") == [f"10 {ENDPOINT}."]


def test_dns_that_does_not_answer_is_unknown(
    account: Account, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(name: str, kind: str) -> list[str]:
        raise Unresolved(f"Timeout of {name}")

    monkeypatch.setattr(site, "resolve", silent)
    code, rows = findings(terminal)
    assert (code, unhealthy(rows)) == (0, {Check.MX: UNKNOWN, Check.DKIM: UNKNOWN})


def test_a_person_reads_verdicts_as_words(account: Account, terminal: Terminal) -> None:
    account.sending["ProductionAccessEnabled"] = False
    account.skew = timedelta(seconds=90)
    account.refuse("sqs.GetQueueAttributes")
    assert terminal("doctor") == 3
    words = {line.split()[0] for line in terminal.said.splitlines()}
    assert words >= set(Health)
    assert "request production access" in terminal.said


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_step_stands_whole_below_its_row(account: Account, terminal: Terminal, width: int) -> None:
    _put_queue_policy(account)
    _, rows = findings(terminal)
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, force_terminal=True, color_system=None)
    assert run(["doctor"], replace(terminal.operator, out=console)) == FAULTY
    lines = out.getvalue().splitlines()
    place = lines.index(f"  {rows[Check.NOTIFICATION]['step']}")
    assert lines[place - 1].split()[:2] == [FAULT, "notification"]
    assert all(len(line) <= width for line in lines if not line.startswith("  "))


def test_a_program_reads_one_line_for_each_check(account: Account, terminal: Terminal) -> None:
    _put_queue_policy(account)
    _, rows = findings(terminal)
    assert terminal("doctor") == FAULTY
    cells = [line.split("\t") for line in terminal.said.splitlines()]
    assert cells == [[row[name] for name in ("verdict", "check", "seen", "step")] for row in rows.values()]


def test_every_word_has_its_check() -> None:
    assert set(CHECKS) == set(Check)


def _run(account: Account, step: str) -> None:
    """Carry out a step of the AWS CLI: its operation and its options are those of the API."""
    for command in step.split(" && "):
        aws, service, name, *options = shlex.split(command)
        assert aws == "aws"
        client: Any = account.client({"s3api": "s3"}.get(service, service))
        operation = client.meta.service_model.operation_model(
            client.meta.method_to_api_mapping[name.replace("-", "_")]
        )
        members = operation.input_shape.members
        words = {xform_name(member, "-"): member for member in members}
        given = {}
        while options:
            option = options.pop(0).removeprefix("--")
            shape = members[words[option.removeprefix("no-")]]
            match shape.type_name:
                case "boolean":
                    value: Any = not option.startswith("no-")
                case "integer":
                    value = int(options.pop(0))
                case "list":
                    value = []
                    while options and not options[0].startswith("--"):
                        value.append(options.pop(0))
                case "structure" | "map":
                    text = options.pop(0)
                    value = json.loads(text) if text.startswith("{") else _shorthand(text)
                case _:
                    value = options.pop(0)
            given[words[option.removeprefix("no-")]] = value
        getattr(client, name.replace("-", "_"))(**given)


def _shorthand(text: str) -> dict[str, Any]:
    pairs = (part.split("=", 1) for part in text.split(","))
    return {name: {"true": True, "false": False}.get(value, value) for name, value in pairs}


def _intake_takes_permissions(account: Account) -> None:
    def add(params: dict[str, Any], **_: Any) -> Any:
        given = json.loads(params["body"])
        statement = _statement(
            *("ses", given["Action"], FUNCTION), ArnLike={"AWS:SourceArn": given["SourceArn"]}
        )
        account.intake_policy.append(statement)
        return _ok({})

    account.on("lambda.AddPermission", add)
    account.intake_policy.clear()


def _lambda_is_configured(account: Account) -> None:
    def update(params: dict[str, Any], **_: Any) -> Any:
        account.layers["hold"] = json.loads(params["body"])["Layers"]
        return _ok({})

    account.on("lambda.UpdateFunctionConfiguration", update)
    account.layers["hold"] = [f"{LAYER}:2"]


def _concurrency_is_deleted(account: Account) -> None:
    def delete(**_: Any) -> Any:
        account.reserved.clear()
        return _ok({})

    account.on("lambda.DeleteFunctionConcurrency", delete)
    account.reserved["intake"] = 0


def _sources_are_updated(account: Account) -> None:
    def enable(params: dict[str, Any], **_: Any) -> Any:
        assert params["url_path"].endswith(f"/{MAPPING}")
        account.mappings["hold"] = ["Enabled" if json.loads(params["body"])["Enabled"] else "Disabled"]
        return _ok({})

    account.on("lambda.UpdateEventSourceMapping", enable)
    account.mappings["hold"] = ["Disabled"]


def _notify_another_queue_too(account: Account) -> None:
    """Let the bucket tell only another queue: the step must keep that."""
    account.client("sqs").create_queue(QueueName="another")
    _notify(account, QueueArn="arn:aws:sqs:us-east-1:123456789012:another", Filter=_prefix("other/"))


def _admit_others_too(account: Account) -> None:
    _put_bucket_policy(account, {**_statement("logs", "s3:GetObject", "*"), "Sid": "Others"})


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        pytest.param(Check.NOTIFICATION, _notify, id="no notification"),
        pytest.param(Check.NOTIFICATION, _notify_another_queue_too, id="notification of another queue"),
        pytest.param(Check.NOTIFICATION, _put_queue_policy, id="the queue does not admit S3"),
        pytest.param(Check.SES_MAY, _put_bucket_policy, id="the bucket does not admit SES"),
        pytest.param(Check.SES_MAY, _admit_others_too, id="the bucket admits others"),
        pytest.param(Check.SES_MAY, _intake_takes_permissions, id="intake does not admit SES"),
        pytest.param(Check.VERSION, _lambda_is_configured, id="a function has an old layer"),
        pytest.param(Check.CONCURRENCY, _concurrency_is_deleted, id="a function is switched off"),
        pytest.param(Check.SOURCES, _sources_are_updated, id="an event source is disabled"),
        pytest.param(Check.REQUESTS, attach_requests, id="a restored table is bare"),
        pytest.param(Check.LOGS, _rename_log_group, id="a log group is gone"),
        pytest.param(
            Check.ALARMS,
            lambda account: _put_alarms(account, AlarmActions=[TOPIC], ActionsEnabled=False),
            id="alarms are muted",
        ),
    ],
)
def test_the_next_step_is_a_command_that_mends_it(
    account: Account, terminal: Terminal, check: Check, broken: Callable[[Account], object]
) -> None:
    broken(account)
    _, rows = findings(terminal)
    assert rows[check]["verdict"] in (FAULT, WARNING)
    _run(account, rows[check]["step"])
    _, rows = findings(terminal)
    assert unhealthy(rows) == {}


def test_what_the_bucket_told_before_it_still_tells(account: Account, terminal: Terminal) -> None:
    _notify_another_queue_too(account)
    _, rows = findings(terminal)
    _run(account, rows[Check.NOTIFICATION]["step"])
    bucket = account.output("MailBucketName")
    told = account.client("s3").get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert len(told) == 2
    assert "arn:aws:sqs:us-east-1:123456789012:another" in {each["QueueArn"] for each in told}


@pytest.mark.parametrize(
    ("known", "command"),
    [
        pytest.param(False, "create-email-identity", id="an identity that SES does not know"),
        pytest.param(True, "get-email-identity", id="an identity that SES would refuse to create again"),
    ],
)
def test_an_identity_is_created_only_once(
    account: Account, terminal: Terminal, known: bool, command: str
) -> None:
    if known:
        _set_identity(VerifiedForSendingStatus=False, VerificationStatus="PENDING")(account)
    else:
        account.identities.clear()
    _, rows = findings(terminal)
    assert all(f"aws sesv2 {command} " in rows[check]["step"] for check in (Check.DOMAIN, Check.SENDER))
