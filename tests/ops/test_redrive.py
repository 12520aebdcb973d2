import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ops.operator import Operator, Output
from quarantine.release.pointer import Result
from tests.ops.conftest import Terminal
from tests.world import World, load_event

EVENT = load_event("accepted_relay_ipv4")
REQUEST_ID = EVENT["Records"][0]["ses"]["mail"]["messageId"]


class Deployed(Operator):
    """An operator of a stack that includes the functions."""

    def name(self, output: str) -> str:
        return "intake" if output == "IntakeFunctionName" else super().name(output)


class Lambda:
    """Runs intake when it is invoked, as Lambda does later; or answers with an error."""

    def __init__(self, world: World, status: int = 202) -> None:
        self.invoked: list[tuple[str, str]] = []
        self._world, self._status = world, status
        world.session.events.register("before-call.lambda.Invoke", self._invoke)  # type: ignore[arg-type]

    def _invoke(self, params: dict[str, Any], **_: object) -> tuple[SimpleNamespace, dict[str, Any]]:
        self.invoked.append((params["url_path"], params["headers"]["X-Amz-Invocation-Type"]))
        if self._status == 202:
            self._world.intake(json.loads(params["body"]))
        return SimpleNamespace(status_code=200), {"StatusCode": self._status}


@pytest.fixture
def terminal(world: World) -> Terminal:
    world.records.put_relay("example.com", "192.0.2.0/24")
    return Terminal(Deployed(world.session, "quarantine", clock=world.clock, queue_wait=0))


@pytest.fixture
def put(world: World, terminal: Terminal) -> Callable[[str, str], None]:
    sqs = world.session.client("sqs")

    def send(queue: str, body: str) -> None:
        sqs.send_message(QueueUrl=terminal.operator.name(queue), MessageBody=body)

    return send


def waiting(terminal: Terminal, queue: str) -> int:
    sqs = terminal.operator.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=terminal.operator.name(queue), AttributeNames=names)
    return sum(int(found["Attributes"][name]) for name in names)


def record(payload: object) -> str:
    return json.dumps(
        {
            "version": "1.0",
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": payload,
            "responsePayload": {"errorType": "ClientError", "errorMessage": "throttled"},
        }
    )


@pytest.fixture
def job(world: World, terminal: Terminal) -> str:
    world.intake(EVENT)
    (body,) = world.jobs()
    return body


type Put = Callable[[str, str], None]


def test_nothing_failed(terminal: Terminal) -> None:
    assert terminal("redrive") == 0
    assert (terminal.said, terminal.warned) == ("", "nothing failed\n")


def test_a_job_goes_back_to_its_queue(world: World, terminal: Terminal, put: Put, job: str) -> None:
    put("JobsDeadLettersUrl", job)
    (row,) = terminal.json("redrive")
    assert row == {
        "queue": "jobs",
        "request_id": REQUEST_ID,
        "error": "the request is accepted",
        "done": "redriven",
    }
    assert waiting(terminal, "JobsDeadLettersUrl") == 0
    assert world.jobs() == [job]


def test_an_event_is_given_to_intake_again(world: World, terminal: Terminal, put: Put) -> None:
    function = Lambda(world)
    put("IntakeFailuresUrl", record(EVENT))
    (row,) = terminal.json("redrive")
    assert (row["request_id"], row["error"]) == (REQUEST_ID, "ClientError: throttled")
    assert function.invoked == [("/2015-03-31/functions/intake/invocations", "Event")]
    assert waiting(terminal, "IntakeFailuresUrl") == 0
    assert len(world.jobs()) == 1


def test_an_event_about_a_sent_mail_goes_back_to_its_queue(
    world: World, terminal: Terminal, put: Put
) -> None:
    put("FeedbackDeadLettersUrl", json.dumps(load_event("sending_reject")))
    (row,) = terminal.json("redrive", "--queue", "feedback")
    assert (row["request_id"], row["done"]) == (REQUEST_ID, "redriven")
    assert row["error"] == "Reject of the release: see feedback's log"
    assert waiting(terminal, "FeedbackDeadLettersUrl") == 0
    assert waiting(terminal, "FeedbackQueueUrl") == 1


@pytest.mark.parametrize("queue", ["jobs", "intake"])
def test_one_queue_only(world: World, terminal: Terminal, put: Put, job: str, queue: str) -> None:
    Lambda(world)
    put("JobsDeadLettersUrl", job)
    put("IntakeFailuresUrl", record(EVENT))
    assert [row["queue"] for row in terminal.json("redrive", "--queue", queue)] == [queue]
    left = {"jobs": "IntakeFailuresUrl", "intake": "JobsDeadLettersUrl"}[queue]
    assert waiting(terminal, left) == 1


def test_a_dry_run_changes_nothing(world: World, terminal: Terminal, put: Put, job: str) -> None:
    put("JobsDeadLettersUrl", job)
    put("IntakeFailuresUrl", record(EVENT))
    for _ in range(2):  # the messages are visible again at once
        assert [row["done"] for row in terminal.json("redrive", "--dry-run")] == ["waits", "waits"]
    assert (world.jobs(), waiting(terminal, "JobsDeadLettersUrl")) == ([], 1)


@pytest.mark.parametrize(
    ("queue", "body", "error"),
    [
        pytest.param("JobsDeadLettersUrl", "{}", "not a job", id="no job"),
        pytest.param("JobsDeadLettersUrl", "\x09", "not a job", id="no JSON"),
        pytest.param("FeedbackDeadLettersUrl", "{}", "not an event of SES", id="no event of SES"),
        pytest.param("IntakeFailuresUrl", record({"Records": []}), "ClientError", id="no SES event"),
        pytest.param("IntakeFailuresUrl", '{"requestPayload": {}}', "not an SES event", id="no error"),
        pytest.param("IntakeFailuresUrl", "[]", "no requestPayload", id="no record"),
        pytest.param("IntakeFailuresUrl", "x", "not a record", id="no JSON record"),
    ],
)
def test_what_cannot_be_read_is_left(  # noqa: PLR0917
    world: World, terminal: Terminal, put: Put, queue: str, body: str, error: str
) -> None:
    function = Lambda(world)
    put(queue, body)
    assert terminal("redrive") == 1
    assert error in terminal.said
    assert "left" in terminal.said
    assert (waiting(terminal, queue), world.jobs(), function.invoked) == (1, [], [])


def test_force_redrives_a_job_that_cannot_be_read(world: World, terminal: Terminal, put: Put) -> None:
    put("JobsDeadLettersUrl", "{}")
    assert terminal("redrive", "--force") == 0
    assert world.jobs() == ["{}"]


@pytest.mark.parametrize(
    ("queue", "call"),
    [
        ("JobsDeadLettersUrl", "before-call.sqs.SendMessage"),
        ("IntakeFailuresUrl", "before-call.lambda.Invoke"),
    ],
)
def test_nothing_is_lost_when_work_is_not_taken(  # noqa: PLR0917
    world: World, terminal: Terminal, put: Put, job: str, queue: str, call: str
) -> None:
    put(queue, job if queue == "JobsDeadLettersUrl" else record(EVENT))

    def die(**_: object) -> None:
        raise OSError("the line is dead")

    world.session.events.register(call, die)
    assert terminal("redrive") == 1
    assert "the line is dead" in terminal.warned
    world.session.events.unregister(call, die)
    assert [row["done"] for row in terminal.json("redrive", "--dry-run")] == ["waits"]


def test_lambda_has_to_take_the_event(world: World, terminal: Terminal, put: Put) -> None:
    Lambda(world, status=200)
    put("IntakeFailuresUrl", record(EVENT))
    assert terminal("redrive") == 1
    assert waiting(terminal, "IntakeFailuresUrl") == 1


def test_many_are_redriven(world: World, terminal: Terminal, put: Put, job: str) -> None:
    for _ in range(25):
        put("JobsDeadLettersUrl", job)
    assert len(terminal.json("redrive")) == 25
    assert len(world.jobs()) == 25


def test_what_fails_again_at_once_is_redriven_once(
    world: World, terminal: Terminal, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejected mail is back in the dead-letter queue within a second, while redrive still reads it."""
    sqs = world.session.client("sqs")
    made = sqs.send_message
    back = 0

    def send_message(QueueUrl: str, MessageBody: str) -> None:  # noqa: N803 - boto3's names
        nonlocal back
        back += 1
        assert back < 5
        made(QueueUrl=terminal.operator.name("HeldDeadLettersUrl"), MessageBody=MessageBody)

    put("HeldDeadLettersUrl", "not a notification")
    monkeypatch.setattr(
        "ops.redrive._redrive", lambda _operator, client, failure: _back(client, failure, send_message)
    )
    terminal("redrive", "--queue", "held", "--force")
    assert back == 1


def _back(client: Any, failure: Any, send: Callable[..., None]) -> None:
    client.delete_message(QueueUrl=failure.queue_url, ReceiptHandle=failure.receipt)
    send(QueueUrl="", MessageBody=failure.diagnosis.work)


@pytest.mark.parametrize(("body", "done"), [(Result("r-1", 250, "ok").to_json(), "redriven"), ("-", "left")])
def test_the_results_of_agents_are_redriven(
    body: str, done: str, world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = world.session.client("sqs")
    urls = {
        f"Results{name}Url": sqs.create_queue(QueueName=f"results-{name}")["QueueUrl"]
        for name in ("Queue", "DeadLetters")
    }
    name, has = Operator.name, Operator.has
    monkeypatch.setattr(Operator, "name", lambda each, output: urls.get(output) or name(each, output))
    monkeypatch.setattr(Operator, "has", lambda each, output: output in urls or has(each, output))
    sqs.send_message(QueueUrl=urls["ResultsDeadLettersUrl"], MessageBody=body)
    terminal("redrive", output=Output.JSON)
    (row,) = json.loads(terminal.said)
    assert (row["queue"], row["done"]) == ("results", done)
    assert ("Messages" in sqs.receive_message(QueueUrl=urls["ResultsQueueUrl"])) == (done == "redriven")
