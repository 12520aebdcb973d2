from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action
from quarantine.asking.admission import Accepted, Refusal, Refused
from quarantine.asking.commands import ActionCommand, ReportCommand
from quarantine.feedback.event import Sending, SendingEvent
from quarantine.feedback.tags import MailKind
from quarantine.mail.addresses import Address
from quarantine.stores.counters import domain_count
from quarantine.stores.requests import (
    Admission,
    Admitted,
    Busy,
    Claim,
    Claimed,
    Concerned,
    CoolingDown,
    Exhausted,
    Known,
    Limits,
    Outcome,
    Requests,
    RequestStatus,
    SeenBefore,
    Settled,
    Telling,
    UnknownRequest,
    backoff,
)
from tests.world import NOW, World, new_session

BOB = Address.parse("bob@example.com")
COOLDOWN = timedelta(minutes=5)
BOBS = Limits(COOLDOWN)
ANNE = Address.parse("x@y.example")
LEASE = timedelta(seconds=60)
SENT = Outcome(RequestStatus.SENT, 3, ses_message_id="ses-1")
DENIED = Refused(Refusal.DENIED, "denied by the auth record of *", BOB)


def request(request_id: str, requester: Address = BOB) -> Accepted:
    return Accepted(
        request_id, requester, (requester,), ReportCommand(Address.parse("t@r.example")), NOW, "dmarc"
    )


def accept(requests: Requests, request: Accepted, *rest: Any) -> Admission:
    (admission,) = requests.accept([request], *rest)
    return admission


@pytest.fixture
def requests(world: World) -> Requests:
    return Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])


def test_a_new_request_is_admitted_with_its_evidence(world: World, requests: Requests) -> None:
    assert accept(requests, request("a"), {"spf": "PASS"}, NOW, BOBS) == Admitted()
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
    item = world.row("cooldown#bob@example.com")
    assert item["cooling_until"] == str(int((NOW + COOLDOWN).timestamp()))
    assert int(item["expires_at"]) >= int(item["cooling_until"])  # TTL must not end it


def test_the_same_request_again_is_admitted_until_report_takes_it_up(requests: Requests) -> None:
    first, again = (accept(requests, request("a"), {}, NOW, BOBS) for _ in range(2))
    assert first == again == Admitted()
    requests.claim_report("a", NOW, LEASE)
    assert accept(requests, request("a"), {}, NOW, BOBS) == Known(RequestStatus.SENDING)
    requests.settle("a", SENT, NOW)
    assert accept(requests, request("a"), {}, NOW, BOBS) == Known(RequestStatus.SENT)


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
    accept(requests, request("a"), {}, NOW, BOBS)
    assert expected == accept(requests, request("b"), {}, NOW + after, BOBS)
    assert bool(world.row("b")) is (expected == Admitted())


def test_the_cooldown_is_each_requesters_own(requests: Requests) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    assert accept(requests, request("b", ANNE), {}, NOW, Limits(COOLDOWN)) == Admitted()


def test_a_cooldown_of_nothing(requests: Requests) -> None:
    for request_id in ("a", "b"):
        assert accept(requests, request(request_id), {}, NOW, Limits(timedelta())) == Admitted()


# --- Limits ---

ANNE_PLUS = Address.parse("x+1@y.example")


def test_a_cooldown_is_of_the_mailbox_whatever_its_suffix(requests: Requests) -> None:
    assert accept(requests, request("a", ANNE), {}, NOW, BOBS) == Admitted()
    assert requests.foresee(request("b", ANNE_PLUS), NOW, BOBS) == CoolingDown()
    assert accept(requests, request("b", ANNE_PLUS), {}, NOW, BOBS) == CoolingDown()
    assert requests.cooldown_until(ANNE_PLUS) == NOW + COOLDOWN


def test_a_cooldown_of_the_version_before_holds_until_it_expires(world: World, requests: Requests) -> None:
    until = int((NOW + COOLDOWN).timestamp())
    world.records.put("REQUESTS_TABLE", {"request_id": "cooldown#bob@example.com", "expires_at": until})
    assert accept(requests, request("a"), {}, NOW, BOBS) == CoolingDown()
    assert accept(requests, request("a"), {}, NOW + COOLDOWN, BOBS) == Admitted()


@pytest.mark.parametrize(
    ("limits", "requester", "expected"),
    [
        pytest.param(Limits(timedelta(), reports=3), BOB, Exhausted("bob@example.com", 3), id="mailbox"),
        pytest.param(
            Limits(timedelta(), reports=3),
            Address.parse("bob+x@example.com"),
            Exhausted("bob@example.com", 3),
            id="its sub-address",
        ),
        pytest.param(Limits(timedelta(), reports=3), ANNE, Admitted(), id="another mailbox"),
        pytest.param(
            Limits(timedelta(), domain=3),
            Address.parse("al@example.com"),
            Exhausted("example.com", 3),
            id="domain",
        ),
        pytest.param(Limits(timedelta(), domain=3), ANNE, Admitted(), id="another domain"),
        pytest.param(Limits(timedelta()), BOB, Admitted(), id="no limit"),
        pytest.param(Limits(timedelta(), 4, 4), BOB, Admitted(), id="a limit that is not reached"),
    ],
)
def test_requests_of_an_hour_are_counted(
    requests: Requests, limits: Limits, requester: Address, expected: object
) -> None:
    minutes = iter(range(60))
    for request_id in "abc":
        assert (
            accept(requests, request(request_id), {}, NOW + timedelta(minutes=next(minutes)), limits)
            == Admitted()
        )
    assert requests.foresee(request("d", requester), NOW + timedelta(minutes=59), limits) == expected
    assert accept(requests, request("d", requester), {}, NOW + timedelta(minutes=59), limits) == expected
    # The clock strikes: all may ask again.
    assert accept(requests, request("e"), {}, NOW + timedelta(hours=1), limits) == Admitted()


def test_a_refused_request_counts_for_nothing(requests: Requests) -> None:
    limits = Limits(COOLDOWN, reports=2)
    assert accept(requests, request("a"), {}, NOW, limits) == Admitted()
    for number in range(5):
        assert accept(requests, request(f"b{number}"), {}, NOW, limits) == CoolingDown()
    assert accept(requests, request("c"), {}, NOW + COOLDOWN, limits) == Admitted()
    assert accept(requests, request("d"), {}, NOW + 2 * COOLDOWN, limits) == Exhausted("bob@example.com", 2)


def test_counts_of_old_hours_do_not_pile_up(world: World, requests: Requests) -> None:
    for hour in range(30):
        assert accept(requests, request(f"{hour}"), {}, NOW + timedelta(hours=hour), BOBS) == Admitted()
    counts = [name for name in world.row("cooldown#bob@example.com") if name.startswith("reports_")]
    assert len(counts) == 1


def test_a_large_domain_is_counted_in_parts_that_add_up_to_its_limit() -> None:
    keys, shares = set(), set()
    for number in range(2000):
        (update,) = domain_count(Address.parse(f"u{number}@example.com"), NOW, 1, 10_000).values()
        keys.add(update["Key"]["request_id"]["S"])
        shares.add(update["ExpressionAttributeValues"][":room"]["N"])
    assert len(keys) == 32
    assert shares == {"312"}  # 313 with this one


# --- Replays ---

SIGNED = replace(request("a"), replay_key="k")
FREELY = Limits(timedelta())


def test_a_mail_that_only_dkim_proves_is_accepted_once(requests: Requests) -> None:
    assert accept(requests, SIGNED, {}, NOW, FREELY) == Admitted()
    again = replace(SIGNED, request_id="b")
    assert accept(requests, again, {}, NOW + timedelta(days=6), FREELY) == SeenBefore()
    assert accept(requests, again, {}, NOW + timedelta(days=7), FREELY) == Admitted()
    assert requests.foresee(again, NOW + timedelta(days=8), FREELY) == SeenBefore()


def test_the_second_delivery_of_an_event_is_not_a_replay(requests: Requests) -> None:
    assert accept(requests, SIGNED, {}, NOW, BOBS) == Admitted()
    assert accept(requests, SIGNED, {}, NOW, BOBS) == Admitted()


def test_a_mail_that_was_refused_is_not_remembered(requests: Requests) -> None:
    assert accept(requests, request("other"), {}, NOW, BOBS) == Admitted()
    assert accept(requests, SIGNED, {}, NOW, BOBS) == CoolingDown()
    assert accept(requests, SIGNED, {}, NOW + COOLDOWN, BOBS) == Admitted()


def test_any_other_mail_is_not_remembered(requests: Requests) -> None:
    """Exchange hands one mail to two of our addresses over twice."""
    assert accept(requests, request("a"), {}, NOW, FREELY) == Admitted()
    assert accept(requests, request("b"), {}, NOW, FREELY) == Admitted()


# --- Transactions that meet ---


def conflicting(times: int, *codes: str) -> tuple[Requests, list[float]]:
    """Return a store whose transaction meets another one so many times, and the pauses that it makes."""
    client = new_session().client("dynamodb")
    pauses: list[float] = []
    stubber = Stubber(client)
    for _ in range(times):
        stubber.add_client_error(
            "transact_write_items",
            "TransactionCanceledException",
            modeled_fields={"CancellationReasons": [{"Code": code} for code in codes]},
        )
    stubber.add_response("transact_write_items", {})
    stubber.activate()
    return Requests(client, "requests", pause=pauses.append), pauses


@pytest.mark.parametrize("other", ["None", "ConditionalCheckFailed"])
def test_a_transaction_that_meets_another_is_tried_again_at_once(world: World, other: str) -> None:
    """Also where the cooldown is that of another delivery of the same event, whose row is not there yet."""
    requests, pauses = conflicting(5, "TransactionConflict", other)
    assert accept(requests, request("a"), {}, NOW, BOBS) == Admitted()
    assert len(pauses) == 5
    assert sum(pauses) < 2


def test_a_transaction_that_always_meets_another_is_an_error(world: World) -> None:
    requests, pauses = conflicting(50, "TransactionConflict", "None")
    with pytest.raises(ClientError, match="TransactionCanceled"):
        accept(requests, request("a"), {}, NOW, BOBS)
    assert sum(pauses) < 4  # a part of intake's timeout, which Lambda's own retries follow


def test_another_reason_is_an_error(world: World) -> None:
    requests, pauses = conflicting(1, "ThrottlingError", "None")
    with pytest.raises(ClientError, match="TransactionCanceled"):
        accept(requests, request("a"), {}, NOW, BOBS)
    assert pauses == []


def test_five_hundred_requests_of_one_domain_at_one_moment_get_through() -> None:
    """In virtual time: a transaction takes 10 ms, and of two that overlap on an item the later fails."""
    free_at: dict[str, float] = {}
    due = [(0.0, 0, f"u{number}@example.com") for number in range(500)]
    most = 0
    while due:
        due.sort()
        time, attempt, name = due.pop(0)
        (update,) = domain_count(Address.parse(name), NOW, 1, 10_000).values()
        key = update["Key"]["request_id"]["S"]
        if free_at.get(key, 0.0) <= time:
            free_at[key] = time + 0.01
            continue
        most = max(most, attempt + 1)
        due.append((time + 0.01 + backoff(attempt), attempt + 1, name))
    assert most < 12  # the attempts of one call


def test_a_refusal_is_recorded(world: World, requests: Requests) -> None:
    requests.refuse("a", DENIED, {"spf": "FAIL"}, NOW, NOW)
    row = world.row("a")
    assert (row["status"], row["reason"], row["requester"]) == ("refused", "denied", "bob@example.com")
    assert (row["detail"], row["evidence"]) == ("denied by the auth record of *", {"spf": {"S": "FAIL"}})


def test_a_refusal_of_nobody_has_no_requester(world: World, requests: Requests) -> None:
    requests.refuse("a", Refused(Refusal.AMBIGUOUS_SENDER, "2 From fields"), {}, NOW, NOW)
    assert "requester" not in world.row("a")


def test_a_cooldown_refuses_no_request_that_was_accepted(world: World, requests: Requests) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    known = requests.refuse("a", Refused(Refusal.TOO_SOON, "", BOB), {}, NOW, NOW)
    assert known == Known(RequestStatus.ACCEPTED)
    assert world.row("a")["status"] == "accepted"


@pytest.mark.parametrize("settled", [False, True], ids=["sending", "sent"])
def test_a_refusal_changes_no_request_that_report_has_taken_up(
    world: World, requests: Requests, settled: bool
) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    requests.claim_report("a", NOW, LEASE)
    if settled:
        requests.settle("a", SENT, NOW)
    before = world.row("a")
    requests.refuse("a", DENIED, {}, NOW, NOW)
    assert world.row("a") == before


def test_an_operator_finds_requests_by_requester_and_time(world: World, requests: Requests) -> None:
    requests.refuse("a", DENIED, {}, NOW, NOW)
    accept(requests, request("b"), {}, NOW, BOBS)
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
        pytest.param(LEASE, Claimed(request("a"), attempt=2), id="when the lease is over"),
    ],
)
def test_a_claim_holds_for_its_lease(requests: Requests, after: timedelta, expected: Claim) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    assert requests.claim_report("a", NOW, LEASE) == Claimed(request("a"))
    assert requests.claim_report("a", NOW + after, LEASE) == expected


def test_a_settled_request_is_done(requests: Requests) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    requests.claim_report("a", NOW, LEASE)
    requests.settle("a", SENT, NOW)
    assert requests.claim_report("a", NOW + timedelta(days=1), LEASE) == Settled()


def test_a_refused_request_is_done(requests: Requests) -> None:
    requests.refuse("a", DENIED, {}, NOW, NOW)
    assert requests.claim_report("a", NOW, LEASE) == Settled()


def test_a_request_that_was_given_back_can_be_claimed(world: World, requests: Requests) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    requests.claim_report("a", NOW, LEASE)
    requests.give_back("a", "TooManyRequestsException")
    assert world.row("a")["status"] == "accepted"
    assert world.row("a")["reason"] == "TooManyRequestsException"
    assert requests.claim_report("a", NOW, LEASE) == Claimed(request("a"), attempt=2)


def test_a_job_of_no_request_is_an_error(requests: Requests) -> None:
    with pytest.raises(UnknownRequest):
        requests.claim_report("nobody-asked", NOW, LEASE)


def test_only_a_claimed_request_can_be_settled(requests: Requests) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        requests.settle("a", SENT, NOW)


# --- Several requests of one mail ---


def action(request_id: str, requester: Address = BOB, code: str = "a" * 16) -> Accepted:
    command = ActionCommand(Action.RELEASE, Reference(NOW, code), "r.example")
    return replace(request(request_id, requester), command=command)


def test_the_requests_of_one_mail_are_recorded_in_one_transaction(world: World, requests: Requests) -> None:
    found = requests.accept([request("a"), action("a.2"), action("a.3")], {}, NOW, BOBS)
    assert found == (Admitted(), Admitted(), Admitted())
    assert [world.row(each)["command"] for each in ("a", "a.2", "a.3")] == ["report", "release", "release"]
    hour = int(NOW.timestamp()) // 3600
    item = world.row("cooldown#bob@example.com")
    assert (item[f"reports_{hour}"], item[f"actions_{hour}"]) == ("1", "2")


def test_what_comes_again_is_known_one_by_one(requests: Requests) -> None:
    requests.accept([request("a"), action("a.2")], {}, NOW, BOBS)
    requests.claim_action("a.2", NOW, LEASE)
    assert requests.accept([request("a"), action("a.2")], {}, NOW, BOBS) == (
        Admitted(),
        Known(RequestStatus.SENDING),
    )


def test_a_report_that_cools_down_does_not_stop_the_actions_beside_it(requests: Requests) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    assert requests.accept([request("b"), action("b.2")], {}, NOW, BOBS) == (CoolingDown(), Admitted())


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [
        pytest.param(3, 3, Admitted(), id="as many as there may be"),
        pytest.param(4, 3, Exhausted("bob@example.com", 3), id="one more, and all are refused"),
        pytest.param(10, 0, Admitted(), id="no limit"),
    ],
)
def test_actions_of_an_hour_are_counted(
    requests: Requests, count: int, limit: int, expected: Admission
) -> None:
    many = [action(f"a.{number}") for number in range(count)]
    found = requests.accept(many, {}, NOW, Limits(COOLDOWN, reports=1, actions=limit))
    assert set(found) == {expected}


def test_a_domain_counts_reports_and_actions_together(requests: Requests) -> None:
    limits = Limits(COOLDOWN, domain=3)
    assert set(requests.accept([request("a"), action("a.2")], {}, NOW, limits)) == {Admitted()}
    al = Address.parse("al@example.com")
    refused = requests.accept([request("b", al), action("b.2", al)], {}, NOW, limits)
    assert set(refused) == {Exhausted("example.com", 3)}
    assert accept(requests, action("c", al), {}, NOW, limits) == Admitted()


def test_an_action_does_not_end_a_cooldown_nor_begin_one(requests: Requests) -> None:
    accept(requests, action("a"), {}, NOW, BOBS)
    assert accept(requests, request("b"), {}, NOW, BOBS) == Admitted()
    accept(requests, action("c"), {}, NOW, BOBS)
    assert accept(requests, request("d"), {}, NOW, BOBS) == CoolingDown()


def test_a_claim_of_the_wrong_function_is_an_error(requests: Requests) -> None:
    requests.accept([request("a"), action("a.2")], {}, NOW, BOBS)
    with pytest.raises(UnknownRequest):
        requests.claim_report("a.2", NOW, LEASE)
    with pytest.raises(UnknownRequest):
        requests.claim_action("a", NOW, LEASE)


def test_an_action_is_read_as_it_was_accepted(requests: Requests) -> None:
    accept(requests, action("a"), {}, NOW, BOBS)
    assert requests.claim_action("a", NOW, LEASE) == Claimed(action("a"))


# --- What became of its mails ---


def event(kind: Sending, mail: MailKind = MailKind.REPORT, *, permanent: bool = True) -> SendingEvent:
    at = NOW + timedelta(seconds=3)
    return SendingEvent(kind, "a", mail, "ses-1", at, is_permanent=permanent, detail=kind.value)


def test_what_became_of_a_mail_is_in_the_row_whatever_its_status(world: World, requests: Requests) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    requests.claim_report("a", NOW, LEASE)
    assert requests.note_fate(event(Sending.DELIVERY), NOW) == Concerned(
        is_new=True, requester=BOB, held=None
    )
    assert requests.note_fate(event(Sending.DELIVERY), NOW) == Concerned(
        is_new=False, requester=BOB, held=None
    )
    requests.settle("a", SENT, NOW)
    row = world.row("a")
    assert (row["status"], row["delivery"], row["delivery_at"], row["delivery_detail"]) == (
        "sent",
        "delivered",
        "2026-11-23T12:00:03.000Z",
        "Delivery",
    )


# In the order in which they count.
RANKED = [
    event(Sending.DELAY),
    event(Sending.BOUNCE, permanent=False),
    event(Sending.DELIVERY),
    event(Sending.COMPLAINT),
    event(Sending.BOUNCE),
    event(Sending.REJECT),
]


@pytest.mark.parametrize("first", range(len(RANKED)))
@pytest.mark.parametrize("second", range(len(RANKED)))
def test_only_what_counts_more_replaces_what_is_there(
    world: World, requests: Requests, first: int, second: int
) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    requests.note_fate(RANKED[first], NOW)
    noted = requests.note_fate(RANKED[second], NOW)
    assert noted == Concerned(is_new=second > first, requester=BOB, held=None)
    assert world.row("a")["delivery_rank"] == str(max(first, second) + 1)


@pytest.mark.parametrize("kind", MailKind)
def test_an_answer_and_a_notice_have_attributes_of_their_own(
    world: World, requests: Requests, kind: MailKind
) -> None:
    accept(requests, request("a"), {}, NOW, BOBS)
    assert requests.note_fate(event(Sending.DELAY, kind), NOW)
    found = {name for name in world.row("a") if name.endswith("delivery")}
    expected = {MailKind.ANSWER: "answer_delivery", MailKind.NOTICE: "notice_delivery"}
    assert found == {expected.get(kind, "delivery")}


def test_no_row_is_made_for_a_request_that_is_gone(world: World, requests: Requests) -> None:
    assert requests.note_fate(event(Sending.DELIVERY), NOW) is None
    assert world.row("a") == {}
    accept(requests, request("a"), {}, NOW, BOBS)
    assert requests.note_fate(event(Sending.DELIVERY), NOW + timedelta(days=30)) is None
    assert "delivery" not in world.row("a")


def test_a_requester_is_told_by_one_process_and_once(requests: Requests) -> None:
    assert requests.begin_telling("a", NOW, LEASE) is Telling.DONE  # there is no such request
    accept(requests, request("a"), {}, NOW, BOBS)
    assert requests.begin_telling("a", NOW, LEASE) is Telling.BEGUN
    assert requests.begin_telling("a", NOW, LEASE) is Telling.BUSY
    assert requests.begin_telling("a", NOW + LEASE, LEASE) is Telling.BEGUN  # the first one died
    requests.end_telling("a", None)
    assert requests.begin_telling("a", NOW + LEASE, LEASE) is Telling.BEGUN
    requests.end_telling("a", NOW)
    assert requests.begin_telling("a", NOW + LEASE, LEASE) is Telling.DONE
