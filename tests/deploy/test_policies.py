"""A function's calls to AWS and the permissions of its policy are the same, in both directions.

The calls are recorded where botocore makes them, with their resources; the policies come from the template.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.exceptions import ClientError

from ops.hold.writer import HeldMailWriter, HoldMetadata
from quarantine.feedback.tags import MailKind
from quarantine.held import HoldReason
from quarantine.release.handover import Reply
from quarantine.stores.requests import Requests
from tests.deploy.template import FUNCTIONS, SES, STACK, deployed, grants, properties
from tests.feedback.test_event import sending
from tests.functions.actions import SPAM, address, ask, asking, stored
from tests.functions.faults import Wire
from tests.functions.test_ask import answer_address
from tests.functions.test_feedback import about, release, released
from tests.functions.test_ways import Door, agent, bounced, results, waiting, with_agents  # noqa: F401 - fixtures
from tests.world import World, load_event, new_session

type Grant = tuple[str, str]
"""An IAM action, and a resource as the template names it."""

EVENT = load_event("accepted_relay_ipv4")
TRUNCATED = load_event("accepted_headers_truncated")
BOB = "bob@example.com"

# The actions that AWS carries out for a function, without a call in its code.
LAMBDA_TAKES_JOBS = {
    ("sqs:ReceiveMessage", "${JobsQueue.Arn}"),
    ("sqs:DeleteMessage", "${JobsQueue.Arn}"),
    ("sqs:GetQueueAttributes", "${JobsQueue.Arn}"),
}
LAMBDA_TAKES_ACTIONS = {
    ("sqs:ReceiveMessage", "${ActionsQueue.Arn}"),
    ("sqs:DeleteMessage", "${ActionsQueue.Arn}"),
    ("sqs:GetQueueAttributes", "${ActionsQueue.Arn}"),
}
LAMBDA_TAKES_HELD_OBJECTS = {
    ("sqs:ReceiveMessage", "${HeldQueue.Arn}"),
    ("sqs:DeleteMessage", "${HeldQueue.Arn}"),
    ("sqs:GetQueueAttributes", "${HeldQueue.Arn}"),
}
LAMBDA_TAKES_SENDING_EVENTS = {
    ("sqs:ReceiveMessage", "${FeedbackQueue.Arn}"),
    ("sqs:DeleteMessage", "${FeedbackQueue.Arn}"),
    ("sqs:GetQueueAttributes", "${FeedbackQueue.Arn}"),
}
# Not a call: this permission makes S3 answer 404 instead of 403 for a deleted object.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
TELLS_GONE_FROM_FORBIDDEN = {("s3:ListBucket", "${MailBucket.Arn}")}
# Not a call: with this permission, S3's answer to GetObject says how many tags the object has.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
SEES_TAGS = {("s3:GetObjectTagging", "${MailBucket.Arn}/held/*")}
LAMBDA_KEEPS_FAILURES = {("sqs:SendMessage", "${IntakeFailures.Arn}")}


def lambda_writes_log(function: str) -> set[Grant]:
    """Lambda creates the log group's streams and writes them, with the function's role."""
    group = properties(function)["LoggingConfig"]["LogGroup"]
    return {(f"logs:{action}", f"{group[:-1]}.Arn}}") for action in ("CreateLogStream", "PutLogEvents")}


# All permissions that no call of a function's code shows.
WITHOUT_A_CALL: Mapping[str, set[Grant]] = {
    "IntakeFunction": LAMBDA_KEEPS_FAILURES | lambda_writes_log("IntakeFunction"),
    "ReportFunction": LAMBDA_TAKES_JOBS | lambda_writes_log("ReportFunction"),
    "ActFunction": LAMBDA_TAKES_ACTIONS | TELLS_GONE_FROM_FORBIDDEN | lambda_writes_log("ActFunction"),
    "HoldFunction": LAMBDA_TAKES_HELD_OBJECTS
    | TELLS_GONE_FROM_FORBIDDEN
    | SEES_TAGS
    | lambda_writes_log("HoldFunction"),
    "FeedbackFunction": LAMBDA_TAKES_SENDING_EVENTS | lambda_writes_log("FeedbackFunction"),
    "DigestFunction": lambda_writes_log("DigestFunction"),
}

# The actions that authorise the parts of a transaction.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
TRANSACTED = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}

# The actions that authorise a PartiQL statement.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
STATED = {"SELECT": "dynamodb:PartiQLSelect"}

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
AUTHORISED_AS = {"HeadObject": "GetObject"}


class Ledger:
    """The AWS calls of the processes of one function. `wire` is that of the next process."""

    def __init__(self, world: World, function: str, stack: Mapping[str, Any] = STACK) -> None:
        self.world = world
        self.needed: set[Grant] = set()
        variables = stack[function]["Properties"]["Environment"]["Variables"]
        self._names = {
            world.stack.environ[name]: value
            for name, value in variables.items()
            if name in world.stack.environ
        } | {world.stack.environ.get("RESULTS_QUEUE_URL", ""): "${ResultsQueue}"}

    def wire(self) -> Wire:
        wire = Wire()
        wire.session.events.register("provide-client-params.*.*", self._take_down)
        return wire

    def _take_down(self, model: Any, params: Mapping[str, Any], **_: object) -> None:
        self.needed |= set(self._grants(model.service_model.service_name, model.name, params))

    def _grants(  # noqa: C901, PLR0912 - one case for each form of call
        self, service: str, operation: str, params: Mapping[str, Any]
    ) -> Iterator[Grant]:
        match service, operation:
            case "dynamodb", "TransactWriteItems":
                for item in params["TransactItems"]:
                    for part, what in item.items():
                        yield TRANSACTED[part], self._arn(what["TableName"])
            case "dynamodb", "ExecuteStatement":
                yield STATED[params["Statement"].split()[0]], self._arn(params["Statement"].split('"')[1])
            case "dynamodb", "BatchGetItem":
                for table in params["RequestItems"]:
                    yield "dynamodb:BatchGetItem", self._arn(table)
            case "dynamodb", _:
                index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
                yield f"dynamodb:{operation}", f"{self._arn(params['TableName'])}{index}"
            case "sqs", "SendMessageBatch":  # SQS authorises it as SendMessage
                yield "sqs:SendMessage", self._arn(params["QueueUrl"])
            case "sqs", _:
                yield f"sqs:{operation}", self._arn(params["QueueUrl"])
            case "s3", _:
                prefix = params["Key"].rpartition("/")[0]
                if "Tagging" in params and operation == "PutObject":
                    yield "s3:PutObjectTagging", f"{self._arn(params['Bucket'])}/{prefix}/*"
                yield (
                    f"s3:{AUTHORISED_AS.get(operation, operation)}",
                    f"{self._arn(params['Bucket'])}/{prefix}/*",
                )
            case "sesv2", "SendEmail":
                yield from self._mail(params)
            case _:
                yield f"{service}:{operation}", "unknown"

    def _mail(self, params: Mapping[str, Any]) -> Iterator[Grant]:
        assert params["Content"].keys() == {"Raw"}
        sender = self._names[params["FromEmailAddress"]]
        domain = sender.partition("@")[2]
        # SES uses the address as the identity if that exists, and its domain otherwise.
        for resource in (
            f"identity/{sender}",
            f"identity/{domain}",
            f"configuration-set/{self._names[params['ConfigurationSetName']]}",
        ):
            yield "ses:SendEmail", f"{SES}:{resource}"
            yield "ses:SendRawEmail", f"{SES}:{resource}"

    def _arn(self, name: str) -> str:
        """Name a resource as the template does: `${Name}` of a variable is `${Name.Arn}` in a policy."""
        return f"{self._names[name].removesuffix('}')}.Arn}}"


def hold(world: World) -> None:
    world.records.put_held(BOB, "<1@x.example>", world.clock.now, "x@x.example", "Invoice 7")


def accepted(world: World) -> str:
    world.records.put_relay("example.com", "192.0.2.0/24")
    assert world.intake(EVENT) == {"outcome": "accepted"}
    (job,) = world.jobs()
    return job


def test_intake_is_granted_what_it_calls_and_nothing_more(world: World) -> None:
    ledger = Ledger(world, "IntakeFunction")

    def intake(event: object) -> str:
        return world.intake(event, session=ledger.wire().session)["outcome"]

    assert intake(load_event("refused_not_a_trigger")) == "not_a_trigger"
    assert intake(load_event("refused_unauthenticated")) == "unauthenticated"
    world.records.put_relay("example.com", "192.0.2.0/24")
    assert intake(EVENT) == "accepted"
    assert intake(EVENT) == "accepted"  # delivered again
    assert intake(load_event("refused_too_soon")) == "too_soon"
    stored(world)
    assert intake(asking(world, address(world, "delete"), message_id="action")) == "accepted"
    world.clock.move(days=1)
    world.records.put_auth("example.com", ["dkim"])
    raw = b"Return-Path: <bob@example.com>\r\nFrom: bob@example.com\r\n\r\n"
    world.store_mail(TRUNCATED["Records"][0]["ses"]["mail"]["messageId"], raw)
    assert intake(TRUNCATED) == "unauthenticated"
    requests = Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])
    requests.remember_bounce("a" * 16, "action", world.clock.now)
    bounce = f"bounce-{'a' * 16}@reports.example.com"
    assert bounced(world, to=bounce, session=ledger.wire().session) == "bounce"
    assert ledger.needed.isdisjoint(WITHOUT_A_CALL["IntakeFunction"])
    assert ledger.needed | WITHOUT_A_CALL["IntakeFunction"] == grants(STACK["IntakeFunctionRole"])


def test_report_is_granted_what_it_calls_and_nothing_more(world: World) -> None:
    ledger = Ledger(world, "ReportFunction")
    hold(world)
    job = accepted(world)
    assert world.report(job, session=ledger.wire().session) == []
    assert len(world.sent()) == 1
    assert ledger.needed.isdisjoint(WITHOUT_A_CALL["ReportFunction"])
    assert ledger.needed | WITHOUT_A_CALL["ReportFunction"] == grants(STACK["ReportFunctionRole"])


@pytest.mark.parametrize("when_empty", ["silent", "reply"])
def test_an_empty_report_needs_no_more(when_empty: str, world: World) -> None:
    ledger = Ledger(world, "ReportFunction")
    assert world.report(accepted(world), session=ledger.wire().session, WHEN_EMPTY=when_empty) == []
    assert ledger.needed <= grants(STACK["ReportFunctionRole"])


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        pytest.param("MessageRejected", [], id="refused for good"),
        pytest.param("TooManyRequestsException", ["0"], id="to be tried again"),
    ],
)
def test_a_report_that_ses_does_not_take_needs_no_more(code: str, failed: list[str], world: World) -> None:
    ledger = Ledger(world, "ReportFunction")
    hold(world)
    wire = ledger.wire()
    wire.fail("sesv2", "SendEmail", ClientError({"Error": {"Code": code, "Message": "no"}}, "SendEmail"))
    assert world.report(accepted(world), session=wire.session) == failed
    assert ledger.needed <= grants(STACK["ReportFunctionRole"])


def ask_and_refuse(world: World, ledger: Ledger) -> None:
    """Let Bob ask for a phish, and Alice refuse."""
    world.records.put_auth("example.com", administrators=["alice@example.com"])
    stored(world, mail=SPAM.replace(b"<1@", b"<9@"), key="held/9", reason="phishing")
    assert (
        world.act(*ask(world, address(world, "ask"), message_id="ask"), session=ledger.wire().session) == []
    )
    to = answer_address(world, "refuse")
    jobs = ask(world, to, sender="alice@example.com", message_id="answer")
    assert world.act(*jobs, session=ledger.wire().session) == []


def want_no_digest(world: World, ledger: Ledger) -> None:
    """Let Bob write to digest-off, twice."""
    for number in range(2):
        jobs = ask(world, "digest-off@reports.example.com", message_id=f"off{number}")
        assert world.act(*jobs, session=ledger.wire().session) == []
        world.clock.move(minutes=1)


def test_act_is_granted_what_it_calls_and_nothing_more(world: World) -> None:
    ledger = Ledger(world, "ActFunction")
    world.records.put_relay("example.com", "192.0.2.0/24")
    stored(world)
    for action in ("preview", "release", "delete"):
        jobs = ask(world, address(world, action), message_id=action)
        assert world.act(*jobs, session=ledger.wire().session) == []
        assert world.act(*jobs, session=ledger.wire().session) == []  # delivered again
    ask_and_refuse(world, ledger)
    want_no_digest(world, ledger)
    assert ledger.needed.isdisjoint(WITHOUT_A_CALL["ActFunction"])
    assert ledger.needed | WITHOUT_A_CALL["ActFunction"] == grants(STACK["ActFunctionRole"])


WITH_AGENTS = deployed(ReleaseBy="agent")
LAMBDA_TAKES_RESULTS = {(action, "${ResultsQueue.Arn}") for action, _ in LAMBDA_TAKES_ACTIONS}


def test_act_is_granted_what_it_calls_on_a_stack_with_agents(waiting: World) -> None:
    ledger = Ledger(waiting, "ActFunction", WITH_AGENTS)
    agent(waiting, Door()).serve_next()
    assert waiting.results(*results(waiting), session=ledger.wire().session) == []
    for action in ("preview", "delete"):
        jobs = ask(waiting, address(waiting, action), message_id=action)
        assert waiting.act(*jobs, session=ledger.wire().session) == []
    stored(waiting, mail=SPAM.replace(b"<1@", b"<2@"), key="held/2")
    jobs = ask(waiting, address(waiting, "release"), message_id="again")
    assert waiting.act(*jobs, session=ledger.wire().session) == []
    ask_and_refuse(waiting, ledger)
    want_no_digest(waiting, ledger)
    without = WITHOUT_A_CALL["ActFunction"] | LAMBDA_TAKES_RESULTS
    assert ledger.needed | without == grants(WITH_AGENTS["ActFunctionRole"])


def test_an_agent_is_granted_what_it_calls_and_nothing_more(waiting: World) -> None:
    ledger = Ledger(waiting, "ActFunction", WITH_AGENTS)
    agent(replace(waiting, session=ledger.wire().session), Door()).serve_next()
    stored(waiting, mail=SPAM.replace(b"<1@", b"<2@"), key="held/2")
    assert waiting.act(*ask(waiting, address(waiting, "release"), message_id="again")) == []
    door = Door([Reply(0, "no answer")])
    agent(replace(waiting, session=ledger.wire().session), door).serve_next()
    assert ledger.needed == grants(WITH_AGENTS["DeliverPolicy"])


def test_act_may_log_in_and_be_in_a_network_only_where_it_must() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:relay-abc"
    by_relay = deployed(
        ReleaseBy="relay",
        ReleaseRelay="mx.example.com:587",
        ReleaseSecretArn=arn,
        ReleaseSubnetIds="subnet-1",
    )
    added = grants(by_relay["ActFunctionRole"]) - grants(STACK["ActFunctionRole"])
    assert ("secretsmanager:GetSecretValue", arn) in added
    assert {action.partition(":")[0] for action, _ in added} == {"secretsmanager", "ec2"}


def test_only_act_and_hold_may_read_held_mail_and_no_function_writes_senders() -> None:
    held = ("s3:GetObject", "${MailBucket.Arn}/held/*")
    readers = {function for function in FUNCTIONS if held in grants(STACK[f"{function}Role"])}
    assert readers == {"ActFunction", "HoldFunction"}  # hold reads the header section
    act = grants(STACK["ActFunctionRole"])
    assert not any(action.startswith("sqs:Send") for action, _ in act)
    assert not any("inbound" in resource for _, resource in act)
    for function in FUNCTIONS:
        of_senders = {
            action for action, resource in grants(STACK[f"{function}Role"]) if "Senders" in resource
        }
        assert of_senders <= {f"dynamodb:{action}" for action in ("PartiQLSelect", "Query", "BatchGetItem")}


def test_hold_is_granted_what_it_calls_and_nothing_more(world: World) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    ledger = Ledger(world, "HoldFunction")
    bucket = world.stack.environ["MAIL_BUCKET"]
    objects: dict[str, tuple[bytes, dict[str, str]]] = {
        "held/one": (b"Subject: x\n\n", {"recipients": BOB}),
        "held/many": (b"X-Envelope-To: <bob@example.com>, <al@example.com>\n\n", {}),
        "held/nobody": (b"Subject: x\n\n", {}),
        "held/empty": (b"", {"recipients": BOB}),
        "held/long": (b"X: " + b"x" * 40_000 + b"\n\n", {"recipients": BOB}),
    }
    for key, (body, metadata) in objects.items():
        world.session.client("s3").put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)
    tagged = {"recipients": "bob", "reason": "spam", "tagged": "spam"}
    world.session.client("s3").put_object(
        Bucket=bucket, Key="held/tagged", Body=b"\n", Metadata=tagged, Tagging="reason=spam"
    )
    world.records.put_digest("*", "07:00")  # which makes hold look at the domain
    messages = world.held_messages()
    world.session.client("s3").delete_object(Bucket=bucket, Key="held/long")
    assert world.hold(*messages, "no notification", session=ledger.wire().session) == []
    assert world.hold(*messages, session=ledger.wire().session) == []  # delivered again
    assert ledger.needed.isdisjoint(WITHOUT_A_CALL["HoldFunction"])
    assert ledger.needed | WITHOUT_A_CALL["HoldFunction"] == grants(STACK["HoldFunctionRole"])


def test_feedback_is_granted_what_it_calls_and_nothing_more(world: World) -> None:
    ledger = Ledger(world, "FeedbackFunction")
    release(world, "sales@example.com")
    events = [released(sending("delivery")), sending("delay"), sending("bounce_content_rejected"), "no event"]
    session = ledger.wire().session
    world.records.put(
        "REQUESTS_TABLE", {"request_id": "d", "status": "sent", "requester": BOB, "expires_at": 2**40}
    )
    digest = about(sending("bounce_permanent"), MailKind.DIGEST, "d")
    assert world.feedback(digest, session=session) == []
    assert world.feedback(*events, session=session) == ["3"]
    assert world.feedback(*events, session=session) == ["3"]  # delivered again
    assert ledger.needed.isdisjoint(WITHOUT_A_CALL["FeedbackFunction"])
    assert ledger.needed | WITHOUT_A_CALL["FeedbackFunction"] == grants(STACK["FeedbackFunctionRole"])


def test_digest_is_granted_what_it_calls_and_nothing_more(world: World) -> None:
    ledger = Ledger(world, "DigestFunction")
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_digest("example.com", "07:00")
    world.records.put_digest(BOB, "07:00")
    for mailbox in (BOB, "stranger@example.com"):
        stored(world, mailbox, key=f"held/{mailbox}")
    for _ in range(2):  # the second time, there was a digest before
        world.clock.move(days=1)
        assert world.digest(session=ledger.wire().session)["made"] == 1
    assert ledger.needed.isdisjoint(WITHOUT_A_CALL["DigestFunction"])
    assert ledger.needed | WITHOUT_A_CALL["DigestFunction"] == grants(STACK["DigestFunctionRole"])


def test_the_schedule_may_invoke_digest_and_nothing_else() -> None:
    assert grants(STACK["DigestScheduleRole"]) == {("lambda:InvokeFunction", "${DigestFunction.Arn}")}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_list_is_what_a_role_grants_without_a_call(function: str) -> None:
    assert WITHOUT_A_CALL[function] <= grants(STACK[f"{function}Role"])
    assert STACK[f"{function}Role"]["Properties"].get("ManagedPolicyArns", []) == []


def test_a_filter_is_granted_what_its_writer_calls_and_nothing_more(world: World) -> None:
    ledger = Ledger(world, "HoldFunction")
    bucket = world.stack.environ["MAIL_BUCKET"]
    writer = HeldMailWriter(ledger.wire().session.client("s3"), bucket)
    assert writer.put(b"\n", HoldMetadata((BOB,), HoldReason.SPAM))
    assert ledger.needed == grants(STACK["HoldMailPolicy"])


@pytest.mark.parametrize("reason", HoldReason)
def test_a_filter_may_put_the_tags_that_its_writer_puts(reason: HoldReason, world: World) -> None:
    session, tagged = new_session(), []
    session.events.register("provide-client-params.s3.PutObject", lambda params, **_: tagged.append(params))
    writer = HeldMailWriter(session.client("s3"), world.stack.environ["MAIL_BUCKET"])
    writer.put(b"\n", HoldMetadata((BOB,), reason))
    (given,) = (parse_qsl(params["Tagging"]) for params in tagged)
    (statement,) = (
        each
        for each in STACK["HoldMailPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if each.get("Action") == "s3:PutObjectTagging"
    )
    allowed = statement["Condition"]
    assert {name for name, _ in given} <= set(allowed["ForAllValues:StringEquals"]["s3:RequestObjectTagKeys"])
    for name, value in given:
        assert value in allowed["StringEquals"][f"s3:RequestObjectTag/{name}"]
