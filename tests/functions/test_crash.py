"""The process dies around each AWS call, and Lambda or SQS delivers the event or the job again."""

import pytest

from tests.functions.faults import ProcessDied, Wire
from tests.world import World, load_event

EVENT = load_event("accepted_relay_ipv4")
REQUEST_ID = EVENT["Records"][0]["ses"]["mail"]["messageId"]
HELD = "Invoice 2026-1187"

INTAKE_CALLS = [
    ("dynamodb", "ExecuteStatement"),
    ("dynamodb", "TransactWriteItems"),
    ("dynamodb", "UpdateItem"),
    ("sqs", "SendMessage"),
]
REPORT_CALLS = [
    ("dynamodb", "UpdateItem"),
    ("dynamodb", "GetItem"),
    ("dynamodb", "Query"),
    ("sesv2", "SendEmail"),
    ("dynamodb", "UpdateItem"),
    ("dynamodb", "UpdateItem"),
]
PLACES = ["before", "after"]


@pytest.fixture
def bob(world: World) -> World:
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_held("bob@example.com", "<1@x>", world.clock.now, "a@b.example", HELD)
    return world


def _dying(where: str, place: int) -> Wire:
    wire = Wire()
    (wire.die_before if where == "before" else wire.die_after)(place)
    return wire


def _serve(world: World, *jobs: str, wire: Wire | None = None) -> list[str]:
    return world.report(*jobs, session=wire.session if wire else None)


def test_the_calls_of_an_accepted_request(bob: World) -> None:
    intake, report = Wire(), Wire()
    bob.intake(EVENT, session=intake.session)
    assert intake.calls == INTAKE_CALLS
    _serve(bob, *bob.jobs(), wire=report)
    assert report.calls == REPORT_CALLS


@pytest.mark.parametrize("place", range(len(INTAKE_CALLS)), ids=[call for _, call in INTAKE_CALLS])
@pytest.mark.parametrize("where", PLACES)
def test_intake_dies_and_the_event_comes_again(bob: World, where: str, place: int) -> None:
    with pytest.raises(ProcessDied):
        bob.intake(EVENT, session=_dying(where, place).session)
    bob.intake(EVENT)
    assert bob.row(REQUEST_ID)["status"] == "accepted"
    for job in bob.jobs():  # after SendMessage there are two: the second finds the first one's row
        assert _serve(bob, job) == []
    assert len(bob.sent()) == 1
    assert bob.row(REQUEST_ID)["status"] == "sent"


# SES accepted the mail, but this is not recorded: the only place where a crash sends a report twice.
TWICE = [("after", 3), ("before", 4)]


@pytest.mark.parametrize(
    "place", range(len(REPORT_CALLS)), ids=["claim", "reader", "query", "send", "tell", "settle"]
)
@pytest.mark.parametrize("where", PLACES)
def test_report_dies_and_the_job_comes_again(bob: World, where: str, place: int) -> None:
    bob.intake(EVENT)
    (job,) = bob.jobs()
    with pytest.raises(ProcessDied):
        _serve(bob, job, wire=_dying(where, place))
    bob.clock.move(seconds=180)  # the queue's visibility timeout
    assert _serve(bob, job) == []
    assert len(bob.sent()) == (2 if (where, place) in TWICE else 1)
    assert bob.row(REQUEST_ID)["status"] == "sent"


def test_a_job_that_comes_again_within_the_lease_waits(bob: World) -> None:
    bob.intake(EVENT)
    (job,) = bob.jobs()
    with pytest.raises(ProcessDied):
        _serve(bob, job, wire=_dying("before", 3))
    assert _serve(bob, job) == ["0"]
    assert bob.sent() == []
    assert bob.row(REQUEST_ID)["status"] == "sending"


def test_the_lease_is_over_when_the_queue_delivers_again(bob: World) -> None:
    sqs = bob.session.client("sqs")
    queue = bob.stack.environ["JOBS_QUEUE_URL"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert int(bob.stack.environ["LEASE_SECONDS"]) < int(attributes["VisibilityTimeout"])


def test_an_event_that_comes_again_is_not_told_as_accepted_again(bob: World) -> None:
    assert bob.intake(EVENT) == {"outcome": "accepted"}
    _serve(bob, *bob.jobs())
    assert bob.intake(EVENT) == {"outcome": "sent"}


def test_a_refusal_stands_when_the_event_comes_again(world: World) -> None:
    assert world.intake(EVENT) == {"outcome": "unauthenticated"}
    world.records.put_relay("example.com", "192.0.2.0/24")
    assert world.intake(EVENT) == {"outcome": "refused"}
    assert world.jobs() == []


@pytest.mark.parametrize("status", ["sent", "empty"])
def test_an_event_that_comes_again_when_all_is_done_does_nothing(bob: World, status: str) -> None:
    if status == "empty":
        bob.records.put_held(
            "bob@example.com", "<1@x>", bob.clock.now, "a@b.example", HELD, status="released"
        )
    bob.intake(EVENT)
    _serve(bob, *bob.jobs())
    before = bob.row(REQUEST_ID)
    bob.clock.move(days=1)
    bob.intake(EVENT)
    assert bob.jobs() == []
    assert bob.row(REQUEST_ID) == before
    assert before["status"] == status


def test_a_job_that_comes_twice_is_served_once(bob: World) -> None:
    bob.intake(EVENT)
    (job,) = bob.jobs()
    assert _serve(bob, job, job) == []
    assert len(bob.sent()) == 1


def test_an_event_that_comes_again_while_report_is_at_it_queues_nothing(bob: World) -> None:
    bob.intake(EVENT)
    (job,) = bob.jobs()
    with pytest.raises(ProcessDied):
        _serve(bob, job, wire=_dying("before", 3))
    bob.intake(EVENT)
    assert bob.jobs() == []


def test_a_requester_denied_between_two_deliveries_gets_no_report(bob: World) -> None:
    bob.intake(EVENT)
    (job,) = bob.jobs()
    bob.records.put_auth("bob@example.com", deny=True)
    assert bob.intake(EVENT) == {"outcome": "denied"}
    assert _serve(bob, job) == []
    assert bob.sent() == []
    assert bob.row(REQUEST_ID)["status"] == "refused"
