"""The ways back but the attachment: what act and an agent do, and what users hear."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from ops.deliver.agent import Agent
from quarantine.acting.asks import AskState
from quarantine.acting.ways import bounce_code
from quarantine.mail.addresses import Address
from quarantine.release.deliverable import RELEASED
from quarantine.release.handover import Envelope, Protocol, Reply, Server, hand_over
from quarantine.release.pointer import Pointer, Result
from quarantine.release.wire import WireMail
from quarantine.services import relaying
from quarantine.stores.asks import Asks
from quarantine.stores.objects import HeldObjects
from tests.functions.actions import (
    BOB,
    DOMAIN,
    MESSAGE_ID,
    SPAM,
    address,
    ask,
    asking,
    mails,
    reference,
    row_of,
    stored,
    text_of,
)
from tests.functions.faults import ProcessDied, Wire
from tests.release.servers import DROP, MailServer, running
from tests.world import World

BOUNCED = (
    "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.com\r\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    "--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
    "Reporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; bob@example.com\r\n"
    "Action: {action}\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 5.2.2\r\n  mailbox full\r\n\r\n"
    "--b\r\nContent-Type: message/rfc822\r\n\r\n"
    "Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n\r\n--b--\r\n"
)


@pytest.fixture
def held(world: World) -> World:
    """A spam is stored and held for Bob, whose server may relay."""
    world.records.put_relay("example.com", "192.0.2.0/24")
    stored(world)
    return world


@pytest.fixture
def server() -> Iterator[MailServer]:
    with running(MailServer()) as server:
        yield server


def relaying_by(world: World, server: MailServer) -> World:
    """Return the same world, on a stack whose way back is a relay."""
    return of_way(world, RELEASE_BY="relay", RELEASE_RELAY=f"127.0.0.1:{server.port}")


def of_way(world: World, **environ: str) -> World:
    return replace(world, stack=replace(world.stack, environ={**world.stack.environ, **environ}))


def told(world: World) -> str:
    (mail,) = mails(world)
    assert mail["To"] == BOB
    return str(mail["Subject"])


def bounce_address(world: World) -> str:
    return f"bounce-{bounce_code(reference(world).code, MESSAGE_ID)}@{DOMAIN}"


# --- Relay ---


def test_a_relayed_message_arrives_as_it_is_below_our_field(held: World, server: MailServer) -> None:
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    ((sender, recipient, content),) = server.mails
    assert bounce_address(held).encode() in sender.lower()
    assert recipient.lower() == b"rcpt to:<bob@example.com>"
    field, _, rest = content.partition(b"\r\nReceived:")
    assert field.startswith(f"{RELEASED}: {MESSAGE_ID};".encode())
    assert b"Received:" + rest == SPAM
    assert told(held) == "The message was delivered"
    row = held.row(MESSAGE_ID)
    assert (row["status"], row["answer"], row["delivery"]) == ("done", "handed_over", "delivered")
    assert row["delivery_detail"] == "250 queued as 1"
    assert row_of(held)["status"] == "released"


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "mail"])
def test_a_message_that_the_server_refuses_is_held_again(held: World, server: MailServer, stage: str) -> None:
    server.replies[stage] = b"550 5.7.1 no \x1b[2Jthanks"
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    assert told(held) == "The mail server refused the message"
    assert "Server:  550 5.7.1 no [2Jthanks" in text_of(mails(held)[0]).replace("\r\n", "\n")
    assert (row_of(held)["status"], held.row(MESSAGE_ID)["status"]) == ("held", "failed")


@pytest.mark.parametrize("said", [b"451 later", DROP])
@pytest.mark.parametrize("stage", ["connect", "RCPT", "mail"])
def test_what_the_server_does_not_take_now_is_tried_again(
    held: World, server: MailServer, stage: str, said: bytes
) -> None:
    jobs = ask(held, address(held, "release"))
    server.replies[stage] = said
    assert relaying_by(held, server).act(*jobs) == ["0"]
    assert (held.row(MESSAGE_ID)["status"], held.sent()) == ("accepted", [])
    server.replies.clear()
    assert relaying_by(held, server).act(*jobs) == []
    assert len(server.mails) == 1
    assert told(held) == "The message was delivered"


def test_a_relay_releases_a_virus_where_reasons_say_so(held: World, server: MailServer) -> None:
    stored(held, key="held/2", mail=SPAM.replace(b"<1@", b"<2@"), reason="virus")
    jobs = ask(held, address(held, "release"))
    assert relaying_by(held, server).act(*jobs, RELEASE_REASONS="virus") == []
    assert len(server.mails) == 1


def test_ses_sends_no_virus(held: World) -> None:
    stored(held, key="held/2", mail=SPAM.replace(b"<1@", b"<2@"), reason="virus")
    assert held.act(*ask(held, address(held, "release")), RELEASE_REASONS="virus") == []
    assert told(held) == "The message has harmful code in it"
    assert row_of(held)["status"] == "held"


def test_a_message_with_a_nul_stays_held(held: World, server: MailServer) -> None:
    stored(held, key="held/2", mail=SPAM.replace(b"<1@", b"<2@") + b"\0")
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    assert told(held) == "The mail server refused the message"
    assert server.mails == []


def test_line_ends_that_were_repaired_are_told(held: World, server: MailServer) -> None:
    stored(held, key="held/2", mail=SPAM.replace(b"<1@", b"<2@") + b"\r.\r\nMAIL FROM:<x@x.example>\r\n")
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    assert told(held) == "The message was delivered with repaired lines"
    assert len(server.mails) == 1


def test_a_login_is_read_once_and_again_after_a_refusal(
    held: World, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.extensions += (b"AUTH PLAIN",)
    secrets = held.session.client("secretsmanager")
    arn = secrets.create_secret(Name="relay", SecretString='{"username": "u", "password": "old"}')["ARN"]
    reads: list[object] = []
    held.session.events.register("before-call.secretsmanager.GetSecretValue", lambda **_: reads.append(1))
    secret = relaying.Secret(held.session.client("secretsmanager"), arn)
    at = Server(Protocol.SMTP, "127.0.0.1", server.port, command_timeout=20, reply_timeout=20)
    way = relaying.Relay(at, secret, hand_over)
    envelope = Envelope(Address.parse(f"bounce-{'a' * 16}@{DOMAIN}"), Address.parse(BOB))
    for _ in range(2):
        assert way.deliver(envelope, WireMail(SPAM, is_repaired=False)).is_accepted
    assert len(reads) == 1
    server.replies["AUTH"] = b"535 no"
    reply = way.deliver(envelope, WireMail(SPAM, is_repaired=False))
    assert (reply.code, "535 no" in reply.text, len(reads)) == (0, True, 2)


@pytest.mark.parametrize("text", ["", "x", "[]", '{"username": "u"}'])
def test_a_secret_that_is_no_login_is_named_and_not_repeated(held: World, text: str) -> None:
    secrets = held.session.client("secretsmanager")
    arn = secrets.create_secret(Name="relay", SecretString=text or " ")["ARN"]
    with pytest.raises(relaying.UnreadableSecret, match="relay"):
        relaying.Secret(secrets, arn).login()


# --- Bounces ---


def bounced(
    world: World,
    action: str = "failed",
    message_id: str = "bounce1",
    to: str = "",
    session: boto3.Session | None = None,
) -> str:
    event = asking(world, to or bounce_address(world), message_id=message_id)
    event["Records"][0]["ses"]["mail"]["source"] = "<>"
    world.store_mail(message_id, BOUNCED.format(action=action).encode())
    return world.intake(event, session)["outcome"]


def fed_back(world: World) -> list[str]:
    bodies = [message["Body"] for message in world._taken(world.stack.feedback_queue_url)]  # noqa: SLF001
    return world.feedback(*(body for body in bodies if '"bounce"' in body))


def test_a_message_that_came_back_is_held_again_and_bob_is_told(held: World, server: MailServer) -> None:
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    assert bounced(held) == "bounce"
    assert fed_back(held) == []
    row = row_of(held)
    assert (row["status"], row["returned_for"]) == ("held", MESSAGE_ID)
    _, notice = mails(held)
    assert notice["Subject"] == "The message did not arrive"
    assert "552 5.2.2 mailbox full" in text_of(notice).replace("\r\n", "\n").replace(
        "\n               ... ", " "
    )
    assert (held.row(MESSAGE_ID)["delivery"], held.row("bounce1")["status"]) == ("bounced", "done")


def test_a_report_that_comes_twice_is_told_once(held: World, server: MailServer) -> None:
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    for message_id in ("bounce1", "bounce1", "bounce2"):
        bounced(held, message_id=message_id)
    assert fed_back(held) == []
    assert len(mails(held)) == 2


@pytest.mark.parametrize("action", ["delayed", "relayed", "delivered"])
def test_a_report_of_what_has_not_failed_changes_nothing(
    held: World, server: MailServer, action: str
) -> None:
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    assert bounced(held, action) == "automatic"
    assert row_of(held)["status"] == "released"


def test_a_report_to_an_address_of_nothing_is_not_a_trigger(held: World) -> None:
    assert bounced(held, to=f"bounce-{'a' * 16}@{DOMAIN}") == "not_a_trigger"
    assert held.row("bounce1") == {}


def test_a_person_who_writes_to_a_bounce_address_achieves_nothing(held: World, server: MailServer) -> None:
    assert relaying_by(held, server).act(*ask(held, address(held, "release"))) == []
    assert held.intake(asking(held, bounce_address(held), message_id="m2")) == {"outcome": "not_a_trigger"}
    assert row_of(held)["status"] == "released"


# --- Agent ---


@dataclass(slots=True)
class Door:
    """A mail server beside an agent. replies: one for each mail; then it says yes."""

    replies: list[Reply] = field(default_factory=list)
    mails: list[tuple[Envelope, WireMail]] = field(default_factory=list)

    def deliver(self, envelope: Envelope, mail: WireMail) -> Reply:
        reply = self.replies.pop(0) if self.replies else Reply(250, "queued")
        if reply.is_accepted:
            self.mails.append((envelope, mail))
        return reply


@pytest.fixture
def with_agents(world: World) -> World:
    """As `held`, on a stack whose way back is an agent."""
    sqs = world.session.client("sqs")
    queue = sqs.create_queue(
        QueueName="releases.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "0"}
    )
    environ = {
        "RELEASE_BY": "agent",
        "RELEASES_QUEUE_URL": queue["QueueUrl"],
        "RESULTS_QUEUE_URL": sqs.create_queue(QueueName="results")["QueueUrl"],
        "RESULTS_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:results",
    }
    changed = of_way(world, **environ)
    changed.records.put_relay("example.com", "192.0.2.0/24")
    stored(changed)
    return changed


@pytest.fixture
def waiting(with_agents: World) -> World:
    """Bob has asked for the message, and it waits for an agent."""
    assert with_agents.act(*ask(with_agents, address(with_agents, "release"))) == []
    return with_agents


JOB = f'{{"version": 2, "kind": "action", "request_id": "{MESSAGE_ID}"}}'


def agent(world: World, door: Door, *, domains: frozenset[str] = frozenset({"example.com"})) -> Agent:
    environ = world.stack.environ
    return Agent(
        sqs=world.session.client("sqs"),
        mails=HeldObjects(world.session.client("s3"), environ["MAIL_BUCKET"]),
        bucket=environ["MAIL_BUCKET"],
        releases_url=environ["RELEASES_QUEUE_URL"],
        results_url=environ["RESULTS_QUEUE_URL"],
        domains=domains,
        target=door,  # type: ignore[arg-type]
        wait=0,
        clock=world.clock,
        say=lambda _: None,
    )


def results(world: World) -> list[str]:
    return [message["Body"] for message in world._taken(world.stack.environ["RESULTS_QUEUE_URL"])]  # noqa: SLF001


def pointers(world: World) -> list[str]:
    return [message["Body"] for message in world._taken(world.stack.environ["RELEASES_QUEUE_URL"])]  # noqa: SLF001


def test_a_message_waits_for_an_agent_and_nobody_is_told_yet(waiting: World) -> None:
    assert (row_of(waiting)["status"], waiting.row(MESSAGE_ID)["status"]) == ("releasing", "sending")
    assert waiting.sent() == []
    (pointer,) = map(Pointer.from_json, pointers(waiting))
    assert (pointer.request_id, pointer.key, str(pointer.recipient)) == (MESSAGE_ID, "held/1", BOB)
    assert Pointer.from_json(pointer.to_json()) == pointer


def test_an_agent_delivers_and_bob_is_told(waiting: World) -> None:
    door = Door()
    assert agent(waiting, door).serve_next()
    ((envelope, mail),) = door.mails
    assert (str(envelope.sender), str(envelope.recipient)) == (bounce_address(waiting), BOB)
    assert mail.content.endswith(SPAM)
    assert waiting.results(*results(waiting)) == []
    assert told(waiting) == "The message was delivered"
    assert (row_of(waiting)["status"], waiting.row(MESSAGE_ID)["status"]) == ("released", "done")
    assert pointers(waiting) == []


ALICE = "alice@example.com"


def approved_with_agents(world: World) -> None:
    """Bob has asked for a phish, and Alice approves it: it waits for an agent."""
    world.records.put_auth("example.com", administrators=[ALICE])
    stored(world, mail=SPAM.replace(b"<1@", b"<2@"), key="held/2", reason="phishing")
    assert world.act(*ask(world, address(world, "ask"), message_id="ask1")) == []
    question = next(mail for mail in mails(world) if mail["To"] == ALICE)
    (to,) = re.findall(r"^approve-\S+", text_of(question), re.MULTILINE)
    assert world.act(*ask(world, to, sender=ALICE, message_id="answer1")) == []


def told_last(world: World) -> list[tuple[str, str]]:
    return [(str(mail["To"]), str(mail["Subject"])) for mail in mails(world)[2:]]


def test_an_agent_delivers_what_an_administrator_approves(with_agents: World) -> None:
    approved_with_agents(with_agents)
    assert told_last(with_agents) == []
    door = Door()
    agent(with_agents, door).serve_next()
    assert with_agents.results(*results(with_agents)) == []
    assert told_last(with_agents) == [
        (BOB, "Your mail administrator released the message"),
        (ALICE, "You released the message"),
    ]
    ((envelope, _),) = door.mails
    assert str(envelope.recipient) == BOB


def test_an_approval_that_no_agent_carries_out_leaves_the_ask_open(with_agents: World) -> None:
    approved_with_agents(with_agents)
    agent(with_agents, Door([Reply(550, "no")])).serve_next()
    assert with_agents.results(*results(with_agents)) == []
    assert told_last(with_agents) == [(ALICE, "The mail server refused the message")]
    asks = Asks(
        with_agents.session.client("dynamodb"),
        with_agents.stack.environ["REQUESTS_TABLE"],
        lambda *_: None,
    )
    (open_ask,) = asks.all()
    assert open_ask.state is AskState.OPEN


def test_a_result_that_comes_twice_is_told_once(waiting: World) -> None:
    agent(waiting, Door()).serve_next()
    (result,) = results(waiting)
    assert waiting.results(result, result) == []
    assert told(waiting) == "The message was delivered"


def test_an_agent_says_what_the_server_refuses(waiting: World) -> None:
    agent(waiting, Door([Reply(552, "mailbox full")])).serve_next()
    assert waiting.results(*results(waiting)) == []
    assert told(waiting) == "The mail server refused the message"
    assert "552 mailbox full" in text_of(mails(waiting)[0])
    assert row_of(waiting)["status"] == "held"


def test_what_a_server_does_not_take_now_stays_on_the_queue(waiting: World) -> None:
    agent(waiting, Door([Reply(0, "no answer")])).serve_next()
    assert results(waiting) == []
    assert row_of(waiting)["status"] == "releasing"


def test_a_result_is_settled_only_when_no_agent_can_follow_its_pointer_again(waiting: World) -> None:
    """The agent may not have deleted it, and a message would be delivered twice."""
    result = Result(MESSAGE_ID, 250, "queued", receipt="x").to_json()
    wire = Wire()
    throttled = {"HTTPStatusCode": 400, "MaxAttemptsReached": True, "RetryAttempts": 1}
    error = ClientError(
        {"Error": {"Code": "RequestThrottled"}, "ResponseMetadata": throttled},  # type: ignore[typeddict-item]
        "DeleteMessage",
    )
    wire.fail("sqs", "DeleteMessage", error)
    assert waiting.results(result, session=wire.session) == ["0"]
    assert (row_of(waiting)["status"], waiting.sent()) == ("releasing", [])
    waiting.clock.now += timedelta(minutes=12)
    assert waiting.results(result) == []  # the handle is not valid any more: the pointer is gone
    assert told(waiting) == "The message was delivered"


def test_a_pointer_that_its_agent_could_not_delete_is_deleted_by_act(waiting: World) -> None:
    dying = agent(waiting, Door())
    sqs = waiting.session.client("sqs")
    (message,) = sqs.receive_message(QueueUrl=dying.releases_url, VisibilityTimeout=900)["Messages"]
    result = Result(MESSAGE_ID, 250, "queued", receipt=message["ReceiptHandle"])
    assert waiting.results(result.to_json()) == []
    depth = sqs.get_queue_attributes(QueueUrl=dying.releases_url, AttributeNames=["All"])["Attributes"]
    assert depth["ApproximateNumberOfMessages"] == depth["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_message_that_nobody_took_in_time_is_held_again(waiting: World) -> None:
    assert waiting.act(JOB) == []  # too early: it comes back
    waiting.clock.move(hours=5)
    assert waiting.act(JOB) == []
    assert told(waiting) == "The message was not delivered in time"
    assert (row_of(waiting)["status"], waiting.row(MESSAGE_ID)["status"]) == ("held", "failed")
    door = Door()
    agent(waiting, door).serve_next()
    assert door.mails == []
    assert waiting.results(*results(waiting)) == []  # and is told nothing more
    assert len(mails(waiting)) == 1


def test_a_job_that_is_delivered_twice_points_once(waiting: World) -> None:
    assert waiting.act(JOB) == []
    assert len(pointers(waiting)) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"bucket": "another"}, "another bucket", id="bucket"),
        pytest.param({"key": "inbound/1"}, "not under held/", id="prefix"),
        pytest.param({"key": "held/../inbound/1"}, "not under held/", id="a way out of the prefix"),
        pytest.param({"recipient": Address.parse("ceo@other.example")}, "other.example", id="domain"),
        pytest.param({"etag": '"0"'}, "not the one that was judged", id="overwritten"),
        pytest.param({"key": "held/none", "etag": None}, "is gone", id="gone"),
    ],
)
def test_a_pointer_that_leads_elsewhere_is_refused_and_reported(
    waiting: World, changed: dict[str, object], said: str
) -> None:
    (pointer,) = map(Pointer.from_json, pointers(waiting))
    other = replace(pointer, **changed)  # type: ignore[arg-type]
    waiting.session.client("sqs").send_message(
        QueueUrl=waiting.stack.environ["RELEASES_QUEUE_URL"],
        MessageBody=other.to_json(),
        MessageGroupId="x",
        MessageDeduplicationId="x",
    )
    door = Door()
    agent(waiting, door).serve_next()
    assert door.mails == []
    (result,) = map(Result.from_json, results(waiting))
    assert (result.code, said in result.text) == (554, True)


@pytest.mark.parametrize("body", ["", "[]", '{"request_id": 1}', '{"request_id": "r", "version": 9}'])
def test_what_is_no_pointer_stops_no_agent(waiting: World, body: str) -> None:
    pointers(waiting)
    waiting.session.client("sqs").send_message(
        QueueUrl=waiting.stack.environ["RELEASES_QUEUE_URL"],
        MessageBody=body or "-",
        MessageGroupId="x",
        MessageDeduplicationId="x",
    )
    agent(waiting, Door()).serve_next()
    assert pointers(waiting) == []
    assert len(results(waiting)) == ('"r"' in body)


# What a stolen credential of an agent can say, beside what it may.


def test_a_result_of_a_request_that_does_not_wait_changes_nothing(waiting: World) -> None:
    jobs = ask(waiting, address(waiting, "preview"), message_id="m2")
    result = Result("m2", 250, "ok").to_json()
    assert waiting.results(result) == []
    assert waiting.act(*jobs) == []
    assert told(waiting) == f"Preview of a message held for {BOB}"


@pytest.mark.parametrize("body", ["-", "{}", Result("nobody", 250, "ok").to_json()])
def test_a_result_of_nothing_becomes_a_dead_letter(waiting: World, body: str) -> None:
    assert waiting.results(body) == ["0"]


def test_a_job_among_the_results_is_not_done(waiting: World) -> None:
    assert waiting.results(JOB) == ["0"]


# --- Faults ---


def error(status: int) -> ClientError:
    response: Any = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "SendMessage")


UNKNOWN = [ReadTimeoutError(endpoint_url="https://sqs.example"), error(500)]


@pytest.mark.parametrize("fault", UNKNOWN, ids=["no answer", "500"])
def test_a_pointer_that_may_be_on_the_queue_is_not_put_again(with_agents: World, fault: Exception) -> None:
    wire = Wire()
    wire.fail("sqs", "SendMessage", fault)
    jobs = ask(with_agents, address(with_agents, "release"))
    assert with_agents.act(*jobs, session=wire.session) == ["0"]
    with_agents.clock.move(minutes=12)
    assert with_agents.act(*jobs) == []
    assert pointers(with_agents) == []
    with_agents.clock.move(hours=5)
    assert with_agents.act(*jobs) == []
    assert told(with_agents) == "The message was not delivered in time"


def test_a_pointer_that_sqs_refuses_is_put_again(with_agents: World) -> None:
    wire = Wire()
    wire.fail("sqs", "SendMessage", error(400))
    jobs = ask(with_agents, address(with_agents, "release"))
    assert with_agents.act(*jobs, session=wire.session) == ["0"]
    assert with_agents.act(*jobs) == []
    assert len(pointers(with_agents)) == 1


def dying(wire: Wire, when: str, place: int) -> boto3.Session:
    {"before": wire.die_before, "after": wire.die_after}[when](place)
    return wire.session


DEATHS = [(when, place) for when in ("before", "after") for place in range(9)]


@pytest.mark.parametrize(("when", "place"), DEATHS)
def test_act_dies_before_the_wait(with_agents: World, when: str, place: int) -> None:
    """However it ends, an agent delivers once or never, and Bob gets one mail that says which."""
    jobs = ask(with_agents, address(with_agents, "release"))
    with contextlib.suppress(ProcessDied):
        with_agents.act(*jobs, session=dying(Wire(), when, place))
    door = Door()
    for _ in range(3):
        with_agents.clock.move(minutes=12)
        with_agents.act(*jobs)
        agent(with_agents, door).serve_next()
    assert with_agents.results(*results(with_agents)) == []
    with_agents.clock.move(hours=5)
    with_agents.act(*jobs)
    delivered = len(door.mails)
    assert delivered <= 1
    assert told(with_agents) == f"The message was {'delivered' if delivered else 'not delivered in time'}"
    assert row_of(with_agents)["status"] == ("released" if delivered else "held")


ANSWERED = 5  # the call of SES, when act settles a result


@pytest.mark.parametrize(("when", "place"), DEATHS)
def test_act_dies_while_it_settles_a_result(waiting: World, when: str, place: int) -> None:
    """Twice only between SES's yes and the row."""
    agent(waiting, Door()).serve_next()
    (result,) = results(waiting)
    wire = Wire()
    with contextlib.suppress(ProcessDied):
        waiting.results(result, session=dying(wire, when, place))
    waiting.clock.move(minutes=12)
    waiting.results(result)
    assert (row_of(waiting)["status"], waiting.row(MESSAGE_ID)["status"]) == ("released", "done")
    after_yes = {("after", ANSWERED), ("before", ANSWERED + 1)}
    subjects = [mail["Subject"] for mail in mails(waiting)]
    assert subjects == ["The message was delivered"] * (2 if (when, place) in after_yes else 1)


@pytest.mark.parametrize(("when", "place"), [(when, place) for when, place in DEATHS if place < 4])
def test_an_agent_dies(waiting: World, when: str, place: int) -> None:
    """Twice only between the server's yes and the result."""
    door, wire = Door(), Wire()
    with contextlib.suppress(ProcessDied):
        agent(replace(waiting, session=dying(wire, when, place)), door).serve_next()
    waiting.session.client("sqs").set_queue_attributes(
        QueueUrl=waiting.stack.environ["RELEASES_QUEUE_URL"], Attributes={"VisibilityTimeout": "0"}
    )
    waiting.results(*results(waiting))
    for _ in range(2):
        agent(waiting, door).serve_next()
    waiting.results(*results(waiting))
    assert told(waiting) == "The message was delivered"
    assert len(door.mails) == (2 if (when, place) == ("before", 2) else 1)


# --- Two at once ---


def test_a_result_after_the_wait_settles_nothing(waiting: World) -> None:
    agent(waiting, Door()).serve_next()
    waiting.clock.move(hours=5)
    assert waiting.results(*results(waiting)) == ["0"]
    assert waiting.act(JOB) == []
    assert told(waiting) == "The message was not delivered in time"


def test_the_end_of_the_wait_leaves_a_result_alone_that_is_being_settled(waiting: World) -> None:
    agent(waiting, Door()).serve_next()
    (result,) = results(waiting)
    waiting.clock.move(hours=4, minutes=19)
    with contextlib.suppress(ProcessDied):
        waiting.results(result, session=dying(Wire(), "after", 0))
    waiting.clock.move(minutes=2)
    assert waiting.act(JOB) == []  # it comes back
    assert waiting.sent() == []
    assert row_of(waiting)["status"] == "releasing"


def test_what_comes_back_before_the_row_says_released_is_told_once(held: World, server: MailServer) -> None:
    """The delivery report overtakes act, which has handed the message over and has not recorded it."""
    wire, reports = Wire(), ["bounce"]

    def overtake(params: dict[str, Any], **_: object) -> None:
        if reports and b'"#status": "status"' in params["body"] and b'"released"' in params["body"]:
            assert bounced(held) == reports.pop()
            assert fed_back(held) == []

    wire.session.events.register("before-call.dynamodb.UpdateItem", overtake)
    jobs = ask(held, address(held, "release"))
    assert relaying_by(held, server).act(*jobs, session=wire.session) == []
    assert reports == []
    assert told(held) == "The message did not arrive"
    assert (row_of(held)["status"], held.row(MESSAGE_ID)["answer"]) == ("held", "came_back")


def test_what_comes_back_before_its_result_is_told_once(waiting: World) -> None:
    agent(waiting, Door()).serve_next()
    assert bounced(waiting) == "bounce"
    assert fed_back(waiting) == []
    assert waiting.results(*results(waiting)) == []
    assert told(waiting) == "The message did not arrive"
    assert (row_of(waiting)["status"], waiting.row(MESSAGE_ID)["answer"]) == ("held", "came_back")


def test_actions_that_were_switched_off_meanwhile_do_not_hide_what_was_done(waiting: World) -> None:
    waiting.clock.move(hours=5)
    assert waiting.act(JOB, USER_ACTIONS="none") == []
    assert told(waiting) == "The message was not delivered in time"
