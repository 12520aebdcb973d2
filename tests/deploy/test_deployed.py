"""The real template, built and deployed by SAM to an emulator, and invoked for a report as SES would.

The functions run from the built packages with the built layer, each with its role in the template. The event
source mapping drives report; Lambda's retries, its destination and the redrive policy come from the template.
The emulator, ministack, uses TLS and enforces IAM (AUTH=true): it authorises each call of a function by the
policies of its role, of the queues and of the bucket, including `OnlyOverTls`.

Where the emulator and AWS differ:

- It receives no mail: the receipt rule is left out by its switch, and the event is invoked asynchronously, as
  SES does. test_template.py checks what SES itself may do (the bucket's policy, IntakePermission).
- It does not pass the sender and the identity of a mail to IAM, so the statement `SendReports` never
  matches. Here, report may send anything; test_template.py and test_policies.py check the statement.
- It knows neither the actions of PartiQL nor the table of a statement: it treats a statement as an action of
  its own, which `StateAnything` grants. test_template.py and test_policies.py check `ReadSenders` and
  `NeverScanSenders`.
- SQS authorises a batch of messages as `sqs:SendMessage`; here, it is an action of its own, which
  `SendBatches` grants.
- The event source mapping and the on-failure destination act without the role: `TakeJobs` and the grant on
  IntakeFailures are not needed here. test_policies.py checks them.
- Lambda waits one minute and then two before it retries an event; here, a fraction of a second. SQS delivers
  a failed job to report again after 180 s; here, after 1 s.
- Its SES publishes no events, and like EventBridge it takes no event of AWS from anybody else. So the test
  asks whether the deployed rule matches an event of SES, and puts the event on the queue itself.
- Events in IntakeFailures have additional fields of the emulator, and another type of error.
- Its CloudFormation gives an identity no DKIM tokens, so CreateIdentity stays off. Alarms and the dashboard
  are created, but nothing is measured.
- The functions run on this machine's Python, with the emulator's libraries in reach behind the layer's;
  test_built.py starts them with nothing but the layer.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from layers.pack import pack
from local.records import Records
from tests.deploy.emulation import (
    ARCHITECTURE,
    ENFORCING,
    REGION,
    Emulator,
    environment,
    eventually,
    running,
    with_numbers,
)
from tests.world import load_event

PROJECT = Path(__file__).parents[2]
STACK = "quarantine-report"
PARAMETERS = {
    "ReportsDomain": "reports.example.com",
    "ReportSender": "quarantine@reports.example.com",
    "CreateReceiptRule": "false",
    "CooldownSeconds": "0",  # Bob makes all requests, one after the other
    "Architecture": ARCHITECTURE,
}
BOB, FRANK = "bob@example.com", "frank@example.com"
TRUNCATED = "accepted_headers_truncated"
HELD = "Invoice 2026-1187"

pytestmark = pytest.mark.deployed


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(tmp_path_factory.mktemp("emulator"), ENFORCING) as emulator:
        yield emulator


def _sam(*arguments: str, env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "samcli", *arguments],
        env=env,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _client(service: Any, emulator: Emulator) -> Any:
    return boto3.Session("test", "test", region_name=REGION).client(
        service, endpoint_url=emulator.url, verify=str(emulator.certificate)
    )


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployed stack. outputs: of the template."""

    emulator: Emulator
    outputs: dict[str, str]

    def client(self, service: Any) -> Any:
        return _client(service, self.emulator)

    def receive(self, event: object) -> None:
        """Invoke intake as SES does: asynchronously."""
        response = self.client("lambda").invoke(
            FunctionName=self.outputs["IntakeFunctionName"], InvocationType="Event", Payload=json.dumps(event)
        )
        assert response["StatusCode"] == 202

    def row(self, request_id: str) -> dict[str, str]:
        key = {"request_id": {"S": request_id}}
        answer = self.client("dynamodb").get_item(
            TableName=self.outputs["RequestsTableName"], Key=key, ConsistentRead=True
        )
        return {name: next(iter(value.values())) for name, value in answer.get("Item", {}).items()}

    def sent(self) -> list[dict[str, Any]]:
        """The mails that SES was asked to send."""
        accounts: dict[str, list[dict[str, Any]]] = self.emulator.get("ses/messages")["messages"]
        return [mail for mails in accounts.values() for mail in mails]

    def take(self, queue: str) -> list[dict[str, Any]]:
        """Receive the messages of a queue. queue: the output with its URL."""
        sqs, url = self.client("sqs"), self.outputs[queue]
        messages: list[dict[str, Any]] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages", []
        )
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return messages


@pytest.fixture(scope="module")
def deployed(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    home = tmp_path_factory.mktemp("sam")
    env = environment(home) | {"AWS_ENDPOINT_URL": emulator.url, "AWS_CA_BUNDLE": str(emulator.certificate)}
    overrides = ["--parameter-overrides", *(f"{name}={value}" for name, value in PARAMETERS.items())]
    built = home / "build"
    _sam("build", "--build-dir", str(built), *overrides, env=env)
    pack(built)
    _sam(
        *("deploy", "--template-file", str(built / "template.yaml"), "--stack-name", STACK, "--resolve-s3"),
        *("--no-confirm-changeset", "--capabilities", "CAPABILITY_IAM", *overrides),
        env=env,
    )
    with_numbers(_client("lambda", emulator))
    (stack,) = _client("cloudformation", emulator).describe_stacks(StackName=STACK)["Stacks"]
    return Deployed(emulator, {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]})


@pytest.fixture(scope="module")
def world(deployed: Deployed) -> Deployed:
    """The deployed stack, with a verified report sender, permitted senders, and a mail held for Bob."""
    deployed.client("sesv2").create_email_identity(EmailIdentity="reports.example.com")
    outputs = deployed.outputs
    # See the module's docstring.
    allow("ReportFunctionName", "SendAnything", ["ses:SendEmail", "ses:SendRawEmail"], deployed)
    for function in ("IntakeFunctionName", "DigestFunctionName"):
        allow(function, "StateAnything", ["dynamodb:ExecuteStatement"], deployed)
    allow("DigestFunctionName", "SendBatches", ["sqs:SendMessageBatch"], deployed)
    tables = {
        "SENDERS_TABLE": outputs["SendersTableName"],
        "QUARANTINE_TABLE": outputs["QuarantineTableName"],
    }
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("AWS_ENDPOINT_URL", deployed.emulator.url)
        environ.setenv("AWS_CA_BUNDLE", str(deployed.emulator.certificate))
        records = Records(boto3.Session("test", "test", region_name=REGION), tables)
    records.put_relay("example.com", "192.0.2.0/24")
    records.put_auth("example.com", ["dkim"])
    records.put_digest(FRANK, "07:00", zone="Pacific/Auckland")  # hold reads it once a minute
    records.put_held(BOB, "<1187@supplier.example>", datetime.now(UTC), "Supplier <i@supplier.example>", HELD)
    return deployed


def message_id(event: dict[str, Any]) -> str:
    id_: str = event["Records"][0]["ses"]["mail"]["messageId"]
    return id_


def role_of(function: str, world: Deployed) -> str:
    """The role of a function. function: the output with its name."""
    found = world.client("lambda").get_function_configuration(FunctionName=world.outputs[function])
    name: str = found["Role"].rpartition("/")[2]
    return name


def allow(function: str, sid: str, actions: list[str], world: Deployed) -> None:
    """Add a policy to a function's role. function: the output with its name."""
    statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": "*"}
    world.client("iam").put_role_policy(
        RoleName=role_of(function, world),
        PolicyName=sid,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


@contextmanager
def without(sid: str, function: str, world: Deployed) -> Iterator[None]:
    """Remove one statement from the policy of a function's role. function: the output with its name."""
    iam = world.client("iam")
    role = role_of(function, world)
    policies = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    (name,) = (name for name, it in policies.items() if sid in {part.get("Sid") for part in it["Statement"]})
    left = [it for it in policies[name]["Statement"] if it["Sid"] != sid]
    if left:
        less = policies[name] | {"Statement": left}
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(less))
    else:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policies[name]))


def finished(world: Deployed, request_id: str) -> dict[str, str]:
    return eventually(lambda: row if "finished_at" in (row := world.row(request_id)) else {})


def raw_mail(file: str) -> bytes:
    return (PROJECT / "events" / f"{file}.eml").read_bytes()


def store(world: Deployed, request_id: str, raw: bytes) -> None:
    """Store a mail as SES's S3 action does. Intake reads it if the event does not have the whole header."""
    world.client("s3").put_object(
        Bucket=world.outputs["MailBucketName"], Key=f"inbound/{request_id}", Body=raw
    )


@pytest.mark.parametrize("file", ["accepted_relay_ipv4", TRUNCATED])
def test_an_accepted_request_ends_in_a_report(file: str, world: Deployed) -> None:
    event = load_event(file)
    if file == TRUNCATED:
        store(world, message_id(event), raw_mail(file))
    before = len(world.sent())
    world.receive(event)
    row = finished(world, message_id(event))
    assert (row["status"], row["messages"]) == ("sent", "1")
    (report,) = world.sent()[before:]
    assert (report["Source"], report["To"]) == (PARAMETERS["ReportSender"], [BOB])
    assert row["ses_message_id"] == report["MessageId"]
    assert HELD in json.dumps(report)
    assert world.take("JobsDeadLettersUrl") == []


def test_what_became_of_a_report_comes_to_its_row(world: Deployed) -> None:
    request_id = message_id(load_event("accepted_relay_ipv4"))
    row = finished(world, request_id)
    of_another_stack = json.dumps(load_event("sending_delivery"))
    event = of_another_stack.replace('["quarantine"]', f'["{STACK}"]')
    events = world.client("events")
    rule = events.describe_rule(Name=world.outputs["SendingEventsRuleName"])
    assert [
        events.test_event_pattern(EventPattern=rule["EventPattern"], Event=text)["Result"]
        for text in (event, of_another_stack)
    ] == [True, False]
    world.client("sqs").send_message(QueueUrl=world.outputs["FeedbackQueueUrl"], MessageBody=event)
    became = eventually(lambda: row if "delivery" in (row := world.row(request_id)) else {})
    assert (became["status"], became["delivery"]) == (row["status"], "delivered")
    assert world.take("FeedbackDeadLettersUrl") == []


def test_a_refused_request_sends_nothing(world: Deployed) -> None:
    event = load_event("refused_automatic_out_of_office")
    before = len(world.sent())
    world.receive(event)
    row = eventually(lambda: world.row(message_id(event)))
    assert (row["status"], row["reason"]) == ("refused", "automatic")
    assert len(world.sent()) == before
    assert world.take("IntakeFailuresUrl") == []


def test_a_bad_event_is_tried_again_and_kept(world: Deployed) -> None:
    event = load_event("malformed_no_headers")
    world.receive(event)
    (failure,) = eventually(lambda: world.take("IntakeFailuresUrl"))
    kept = json.loads(failure["Body"])
    assert kept["requestPayload"]["Records"] == event["Records"]  # the emulator adds fields of its own
    assert kept["requestContext"]["condition"] == "RetriesExhausted"
    assert "mail.headers is not a list" in kept["responsePayload"]["errorMessage"]
    assert world.row(message_id(event)) == {}


def test_a_job_that_is_none_ends_among_the_dead_letters(world: Deployed) -> None:
    sqs, queue = world.client("sqs"), world.outputs["JobsQueueUrl"]
    before = len(world.sent())
    sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"VisibilityTimeout": "1"}
    )  # twenty attempts, in seconds
    try:
        sqs.send_message(QueueUrl=queue, MessageBody="no job")
        (dead,) = eventually(lambda: world.take("JobsDeadLettersUrl"))
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "180"})
    assert dead["Body"] == "no job"
    assert len(world.sent()) == before


def hold(world: Deployed, key: str, mail: bytes, **metadata: str) -> None:
    """Store a mail in the bucket, as a filter does."""
    world.client("s3").put_object(
        Bucket=world.outputs["MailBucketName"], Key=f"held/{key}", Body=mail, Metadata=metadata
    )


def rows_of(world: Deployed, recipient: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.client("dynamodb").query(
        TableName=world.outputs["QuarantineTableName"],
        KeyConditionExpression="recipient = :recipient",
        ExpressionAttributeValues={":recipient": {"S": recipient}},
    )["Items"]
    return found


def test_a_mail_that_a_filter_leaves_is_held(world: Deployed) -> None:
    mail = b"From: Eve <eve@x.example>\r\nSubject: Cheap watches\r\nX-Spam-Flag: YES\r\n\r\nBuy.\r\n"
    hold(world, "a b+c", mail, recipients="carol@example.com,dave@example.com")
    for recipient in ("carol@example.com", "dave@example.com"):
        (row,) = eventually(lambda recipient=recipient: rows_of(world, recipient))  # type: ignore[misc]
        assert (row["subject"], row["reason"]) == ({"S": "Cheap watches"}, {"S": "spam"})
        assert row["raw_key"] == {"S": "held/a b+c"}
    (tag,) = world.client("s3").get_object_tagging(Bucket=world.outputs["MailBucketName"], Key="held/a b+c")[
        "TagSet"
    ]
    assert tag == {"Key": "reason", "Value": "spam"}


def test_the_schedule_invokes_digest_and_a_report_comes_by_itself(world: Deployed) -> None:
    hold(world, "for-frank", b"Subject: By itself\r\n\r\n", recipients=FRANK, reason="spam")
    dynamodb = world.client("dynamodb")
    mailboxes, key = world.outputs["MailboxesTableName"], {"reader": {"S": FRANK}}
    eventually(lambda: dynamodb.get_item(TableName=mailboxes, Key=key).get("Item"))
    dynamodb.update_item(  # the time has come, before the schedule was changed
        TableName=mailboxes,
        Key=key,
        UpdateExpression="SET due_at = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )
    scheduler, name = world.client("scheduler"), world.outputs["DigestScheduleName"]
    found = scheduler.get_schedule(Name=name)
    assert found["ScheduleExpression"] == "rate(5 minutes)"
    scheduler.update_schedule(  # the emulator counts from when it was made
        Name=name,
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow=found["FlexibleTimeWindow"],
        Target=found["Target"],
    )
    (report,) = eventually(lambda: [mail for mail in world.sent() if mail["To"] == [FRANK]], within=90)
    assert "By itself" in json.dumps(report)
    assert "digest-off@reports.example.com" in json.dumps(report)


def test_a_mail_of_nobody_waits_among_the_dead_letters(world: Deployed) -> None:
    hold(world, "nobody", b"Subject: For whom?\r\n\r\n")
    sqs, url = world.client("sqs"), world.outputs["HeldDeadLettersUrl"]

    def letters() -> Any:
        return sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages")

    (letter,) = eventually(letters)
    assert letter["MessageAttributes"]["rejection"]["StringValue"] == "no_recipient"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])


@pytest.mark.parametrize("sid", ["StateAnything", "RecordRequests", "QueueJobs", "ReadRawMail"])
def test_intake_can_do_nothing_that_its_policy_does_not_grant(sid: str, world: Deployed) -> None:
    """IAM is enforced: without the statement of the policy, a call is refused.

    `StateAnything` belongs to the test and replaces ReadSenders: see the module's docstring.
    """
    id_ = message_id(load_event(TRUNCATED))
    other = f"without{sid.lower()}".ljust(40, "0")  # SES's own header fields name the mail, too
    event = json.loads(json.dumps(load_event(TRUNCATED)).replace(id_, other))
    store(world, other, raw_mail(TRUNCATED).replace(id_.encode(), other.encode()))
    with without(sid, "IntakeFunctionName", world):
        response = world.client("lambda").invoke(
            FunctionName=world.outputs["IntakeFunctionName"], Payload=json.dumps(event)
        )
    assert "AccessDenied" in json.load(response["Payload"])["errorMessage"]
