from datetime import timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from quarantine.asking.admission import Accepted, Refusal, Refused
from quarantine.asking.commands import ReportCommand
from quarantine.mail.addresses import Address
from quarantine.stores.requests import (
    Admitted,
    Busy,
    Claim,
    Claimed,
    Cooldown,
    CoolingDown,
    Known,
    Outcome,
    Requests,
    RequestStatus,
    Settled,
    UnknownRequest,
)
from tests.world import NOW, World

BOB = Address.parse("bob@example.com")
COOLDOWN = timedelta(minutes=5)
BOBS = Cooldown(BOB, COOLDOWN)
ANNE = Address.parse("x@y.example")
LEASE = timedelta(seconds=60)
SENT = Outcome(RequestStatus.SENT, 3, ses_message_id="ses-1")
DENIED = Refused(Refusal.DENIED, "denied by the auth record of *", BOB)


def request(request_id: str, requester: Address = BOB) -> Accepted:
    return Accepted(
        request_id, requester, (requester,), ReportCommand(Address.parse("t@r.example")), NOW, "dmarc"
    )


@pytest.fixture
def requests(world: World) -> Requests:
    return Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])


def test_a_new_request_is_admitted_with_its_evidence(world: World, requests: Requests) -> None:
    assert requests.accept(request("a"), {"spf": "PASS"}, NOW, BOBS) == Admitted()
    assert world.row("a") == {
        "request_id": "a",
        "command": "report",
        "requester": "bob@example.com",
        "mailboxes": ["bob@example.com"],
        "asked": {
            "written_to": {"S": "t@r.example"},
            "utc_offset_minutes": {"N": "0"},
            "message_id": {"NULL": True},
            "references": {"L": []},
        },
        "status": "accepted",
        "detail": "dmarc",
        "evidence": {"spf": {"S": "PASS"}},
        "received_at": "2026-11-23T12:00:00.000Z",
        "decided_at": "2026-11-23T12:00:00.000Z",
        "expires_at": str(int((NOW + timedelta(days=30)).timestamp())),
    }
    assert world.row("cooldown#bob@example.com")["expires_at"] == str(int((NOW + COOLDOWN).timestamp()))


def test_the_same_request_again_is_admitted_until_report_takes_it_up(requests: Requests) -> None:
    first, again = (requests.accept(request("a"), {}, NOW, BOBS) for _ in range(2))
    assert first == again == Admitted()
    requests.claim_report("a", NOW, LEASE)
    assert requests.accept(request("a"), {}, NOW, BOBS) == Known(RequestStatus.SENDING)
    requests.settle("a", SENT, NOW)
    assert requests.accept(request("a"), {}, NOW, BOBS) == Known(RequestStatus.SENT)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(timedelta(0), CoolingDown(), id="at once"),
        pytest.param(COOLDOWN - timedelta(seconds=1), CoolingDown(), id="a second too soon"),
        pytest.param(COOLDOWN, Admitted(), id="when it is over, though TTL has not deleted the row"),
    ],
)
def test_the_cooldown(
    world: World, requests: Requests, after: timedelta, expected: Admitted | CoolingDown
) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    assert expected == requests.accept(request("b"), {}, NOW + after, BOBS)
    assert bool(world.row("b")) is (expected == Admitted())


def test_the_cooldown_is_each_requesters_own(requests: Requests) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    assert requests.accept(request("b", ANNE), {}, NOW, Cooldown(ANNE, COOLDOWN)) == Admitted()


def test_a_cooldown_of_nothing(requests: Requests) -> None:
    for request_id in ("a", "b"):
        assert requests.accept(request(request_id), {}, NOW, Cooldown(BOB, timedelta())) == Admitted()


@pytest.mark.parametrize("cooldown", ["None", "ConditionalCheckFailed"])
def test_a_conflict_between_transactions_is_an_error(world: World, cooldown: str) -> None:
    """Also if another delivery of the same request, whose row does not exist yet, started the cooldown."""
    client = boto3.client("dynamodb")
    stubber = Stubber(client)
    stubber.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        modeled_fields={"CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": cooldown}]},
    )
    with stubber, pytest.raises(ClientError, match="TransactionCanceled"):
        Requests(client, "requests").accept(request("a"), {}, NOW, BOBS)


def test_a_refusal_is_recorded(world: World, requests: Requests) -> None:
    requests.refuse("a", DENIED, {"spf": "FAIL"}, NOW, NOW)
    row = world.row("a")
    assert (row["status"], row["reason"], row["requester"]) == ("refused", "denied", "bob@example.com")
    assert (row["detail"], row["evidence"]) == ("denied by the auth record of *", {"spf": {"S": "FAIL"}})


def test_a_refusal_of_nobody_has_no_requester(world: World, requests: Requests) -> None:
    requests.refuse("a", Refused(Refusal.AMBIGUOUS_SENDER, "2 From fields"), {}, NOW, NOW)
    assert "requester" not in world.row("a")


def test_a_cooldown_refuses_no_request_that_was_accepted(world: World, requests: Requests) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    known = requests.refuse("a", Refused(Refusal.TOO_SOON, "", BOB), {}, NOW, NOW)
    assert known == Known(RequestStatus.ACCEPTED)
    assert world.row("a")["status"] == "accepted"


@pytest.mark.parametrize("settled", [False, True], ids=["sending", "sent"])
def test_a_refusal_changes_no_request_that_report_has_taken_up(
    world: World, requests: Requests, settled: bool
) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    requests.claim_report("a", NOW, LEASE)
    if settled:
        requests.settle("a", SENT, NOW)
    before = world.row("a")
    requests.refuse("a", DENIED, {}, NOW, NOW)
    assert world.row("a") == before


def test_an_operator_finds_requests_by_requester_and_time(world: World, requests: Requests) -> None:
    requests.refuse("a", DENIED, {}, NOW, NOW)
    requests.accept(request("b"), {}, NOW, BOBS)
    found = world.session.client("dynamodb").query(
        TableName=world.stack.environ["REQUESTS_TABLE"],
        IndexName="by_requester",
        KeyConditionExpression="requester = :bob AND received_at >= :since",
        ExpressionAttributeValues={":bob": {"S": "bob@example.com"}, ":since": {"S": "2026-11-23"}},
    )
    assert sorted(item["request_id"]["S"] for item in found["Items"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(timedelta(0), Busy(), id="at once"),
        pytest.param(LEASE - timedelta(seconds=1), Busy(), id="within the lease"),
        pytest.param(LEASE, Claimed(request("a")), id="when the lease is over"),
    ],
)
def test_a_claim_holds_for_its_lease(requests: Requests, after: timedelta, expected: Claim) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    assert requests.claim_report("a", NOW, LEASE) == Claimed(request("a"))
    assert requests.claim_report("a", NOW + after, LEASE) == expected


def test_a_settled_request_is_done(requests: Requests) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    requests.claim_report("a", NOW, LEASE)
    requests.settle("a", SENT, NOW)
    assert requests.claim_report("a", NOW + timedelta(days=1), LEASE) == Settled()


def test_a_refused_request_is_done(requests: Requests) -> None:
    requests.refuse("a", DENIED, {}, NOW, NOW)
    assert requests.claim_report("a", NOW, LEASE) == Settled()


def test_a_request_that_was_given_back_can_be_claimed(world: World, requests: Requests) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    requests.claim_report("a", NOW, LEASE)
    requests.give_back("a", "TooManyRequestsException")
    assert world.row("a")["status"] == "accepted"
    assert world.row("a")["reason"] == "TooManyRequestsException"
    assert requests.claim_report("a", NOW, LEASE) == Claimed(request("a"))


def test_a_job_of_no_request_is_an_error(requests: Requests) -> None:
    with pytest.raises(UnknownRequest):
        requests.claim_report("nobody-asked", NOW, LEASE)


def test_only_a_claimed_request_can_be_settled(requests: Requests) -> None:
    requests.accept(request("a"), {}, NOW, BOBS)
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        requests.settle("a", SENT, NOW)
