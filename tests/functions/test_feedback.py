"""Feedback with SES's events: late, doubled, missing, in any order, and while act or report still works."""

import json
from collections.abc import Sequence
from copy import deepcopy
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quarantine.feedback.fate import Fate
from quarantine.feedback.tags import MailKind, tags_of
from quarantine.held import HeldKey
from quarantine.mail.addresses import Address
from quarantine.outbox import SendRefused
from quarantine.services.feedback import FailedRelease
from quarantine.stores.requests import Outcome, Requests, RequestStatus
from tests.feedback.test_event import sending
from tests.functions.faults import ProcessDied, Wire
from tests.world import NOW, World

REQUEST = "v5mwjeef78rkc6ql4z4l59xxtrv910qutckbkzsk"
BOB, SALES = "bob@example.com", "sales@example.com"
ENTRY = "2026-11-23T09:30:00Z#<1187@supplier.example>"
AT = "2026-11-23T12:00:03.512Z"

DELIVERY, DELAY, COMPLAINT = sending("delivery"), sending("delay"), sending("complaint")
BOUNCE, SOFT_BOUNCE, REJECT = sending("bounce_permanent"), sending("bounce_transient"), sending("reject")
CONTENT_REJECTED = sending("bounce_content_rejected")


def about(event: dict[str, Any], kind: MailKind, request_id: str = REQUEST) -> dict[str, Any]:
    """The same event about another mail."""
    changed = deepcopy(event)
    changed["detail"]["mail"]["tags"] |= {name: [value] for name, value in tags_of(request_id, kind).items()}
    return changed


def released(event: dict[str, Any]) -> dict[str, Any]:
    return about(event, MailKind.RELEASE)


def ask(world: World, request_id: str = REQUEST, **attributes: Any) -> None:
    """Put the row of a request as report or act has left it."""
    row: dict[str, Any] = {
        "request_id": request_id,
        "command": "report",
        "requester": BOB,
        "status": "sent",
        "received_at": "2026-11-23T11:59:58.214Z",
        "expires_at": int((NOW + timedelta(days=30)).timestamp()),
    }
    row |= attributes
    world.records.put("REQUESTS_TABLE", {name: value for name, value in row.items() if value is not None})


def release(world: World, mailbox: str = BOB, request_id: str = REQUEST, **attributes: Any) -> None:
    """Put a released message and the request that released it."""
    ask(world, request_id, command="release", status="done", held_recipient=mailbox, held_entry=ENTRY)
    held = {"status": "released", "released_for": request_id, "acted_by": BOB} | attributes
    world.records.put_held(
        mailbox, "<1187@supplier.example>", NOW, "x@x.example", "Invoice", entry=ENTRY, **held
    )


def message(world: World, mailbox: str = BOB) -> dict[str, Any]:
    item = world.session.client("dynamodb").get_item(
        TableName=world.stack.environ["QUARANTINE_TABLE"],
        Key={"recipient": {"S": mailbox}, "entry": {"S": ENTRY}},
    )["Item"]
    return {name: next(iter(value.values())) for name, value in item.items()}


def fate(world: World, prefix: str = "delivery") -> tuple[Any, ...]:
    row = world.row(REQUEST)
    return row.get(prefix), row.get(f"{prefix}_at"), row.get(f"{prefix}_detail")


class Told(list[FailedRelease]):
    """Takes down whom it was asked to tell, and fails as often as it is given errors."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    def __call__(self, failed: FailedRelease) -> None:
        if self.errors:
            raise self.errors.pop()
        self.append(failed)


# --- The row of the request ---


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(DELIVERY, ("delivered", AT, "250 2.0.0 Ok: queued as 4F1x2y"), id="delivered"),
        pytest.param(
            DELAY,
            ("delayed", AT, "TransientCommunicationFailure, smtp; 421 4.4.1 Connection timed out"),
            id="delayed",
        ),
        pytest.param(
            BOUNCE, ("bounced", AT, "Permanent General, smtp; 550 5.1.1 user unknown"), id="bounced"
        ),
        pytest.param(SOFT_BOUNCE, ("bounced", AT, "Transient General"), id="bounced, perhaps"),
        pytest.param(COMPLAINT, ("complained", AT, "abuse"), id="complained"),
        pytest.param(
            about(REJECT, MailKind.REPORT),
            ("rejected", "2026-11-23T12:00:04.000Z", "Bad content"),
            id="rejected",
        ),
    ],
)
def test_the_row_says_what_became_of_the_report(
    world: World, event: dict[str, Any], expected: tuple[str, ...]
) -> None:
    ask(world)
    assert world.feedback(event) == []
    assert fate(world) == expected
    assert world.row(REQUEST)["status"] == "sent"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([DELIVERY, DELIVERY], "delivered", id="doubled"),
        pytest.param([DELAY, DELIVERY], "delivered", id="delayed, then delivered"),
        pytest.param([DELIVERY, DELAY], "delivered", id="a delay that comes late"),
        pytest.param([DELIVERY, BOUNCE], "bounced", id="returned after it was accepted"),
        pytest.param([BOUNCE, DELIVERY], "bounced", id="the delivery comes late"),
        pytest.param([DELIVERY, SOFT_BOUNCE], "delivered", id="an automatic reply"),
        pytest.param([SOFT_BOUNCE, DELIVERY], "delivered", id="an automatic reply that comes first"),
        pytest.param([DELAY, SOFT_BOUNCE], "bounced", id="SES gives up"),
        pytest.param([DELIVERY, COMPLAINT], "complained", id="called spam"),
        pytest.param([COMPLAINT, DELIVERY], "complained", id="called spam, the delivery comes late"),
        pytest.param([COMPLAINT], "complained", id="the delivery is missing"),
    ],
)
def test_the_order_of_events_does_not_matter(
    world: World, events: Sequence[dict[str, Any]], expected: str
) -> None:
    ask(world)
    for event in events:
        assert world.feedback(event) == []
    assert fate(world)[0] == expected


@pytest.mark.parametrize("order", [*permutations([DELAY, DELIVERY, COMPLAINT, BOUNCE])], ids=lambda _: "")
def test_no_order_hides_that_a_mail_came_back(world: World, order: Sequence[dict[str, Any]]) -> None:
    ask(world)
    assert world.feedback(*order, *order) == []
    assert fate(world)[0] == "bounced"


@pytest.mark.parametrize(
    ("attributes", "event"),
    [
        pytest.param(None, DELIVERY, id="unknown"),
        pytest.param({"expires_at": int(NOW.timestamp())}, DELIVERY, id="expired, and not yet deleted"),
        pytest.param(
            {"request_id": "cooldown#bob@example.com", "status": None, "requester": None},
            about(DELIVERY, MailKind.REPORT, "cooldown#bob@example.com"),
            id="another item of the table",
        ),
    ],
)
def test_an_event_about_no_request_is_only_logged(
    world: World,
    attributes: dict[str, Any] | None,
    event: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if attributes is not None:
        ask(world, **attributes)
    before = world.session.client("dynamodb").scan(TableName=world.stack.environ["REQUESTS_TABLE"])["Items"]
    assert world.feedback(event) == []
    after = world.session.client("dynamodb").scan(TableName=world.stack.environ["REQUESTS_TABLE"])["Items"]
    assert before == after
    assert caplog.messages == ["unknown request"]


def test_two_mails_of_a_request_are_kept_apart(world: World) -> None:
    """A release to sales@, and the answer to Bob."""
    release(world, SALES)
    assert world.feedback(released(DELIVERY), about(BOUNCE, MailKind.ANSWER)) == []
    assert world.feedback(about(DELAY, MailKind.NOTICE)) == []
    assert [fate(world, prefix)[0] for prefix in ("delivery", "answer_delivery", "notice_delivery")] == [
        "delivered",
        "bounced",
        "delayed",
    ]
    assert message(world, SALES)["status"] == "released"


def test_an_event_may_come_before_report_has_settled_the_row(world: World) -> None:
    ask(world, status="accepted", asked={"written_to": "t@r.example"}, mailboxes={BOB})
    requests = Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])
    requests.claim_report(REQUEST, NOW, timedelta(minutes=1))
    assert world.feedback(DELIVERY) == []
    assert (world.row(REQUEST)["status"], fate(world)[0]) == ("sending", "delivered")
    requests.settle(REQUEST, Outcome(RequestStatus.SENT, 1, "ses-1"), NOW)
    assert (world.row(REQUEST)["status"], fate(world)[0]) == ("sent", "delivered")


def test_an_event_does_not_make_a_request_final_that_is_given_back(world: World) -> None:
    """SES's answer was lost, so report sends again."""
    ask(world, status="accepted", asked={"written_to": "t@r.example"}, mailboxes={BOB})
    requests = Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])
    requests.claim_report(REQUEST, NOW, timedelta(minutes=1))
    assert world.feedback(DELIVERY) == []
    requests.give_back(REQUEST, "ReadTimeoutError")
    assert (world.row(REQUEST)["status"], fate(world)[0]) == ("accepted", "delivered")


# --- The message that was released ---


@pytest.mark.parametrize("status", ["releasing", "released"])
def test_a_delivery_confirms_the_release(world: World, status: str) -> None:
    release(world, status=status, lease_until=1)
    for _ in range(2):
        assert world.feedback(released(DELIVERY)) == []
        assert (message(world)["status"], message(world)["confirmed_at"]) == (status, AT)


@pytest.mark.parametrize("status", ["releasing", "released"])
@pytest.mark.parametrize(
    "event", [REJECT, released(BOUNCE), CONTENT_REJECTED], ids=["rejected", "bounced", "as spam"]
)
@pytest.mark.parametrize("before", [[], [released(DELIVERY)]], ids=["at once", "after a delivery"])
def test_a_message_whose_release_failed_is_held_again(
    world: World, status: str, event: dict[str, Any], before: list[dict[str, Any]]
) -> None:
    release(world, status=status, lease_until=1)
    assert world.feedback(*before, event) == []
    row = message(world)
    assert (row["status"], row["acted_by"], row["returned_for"]) == ("held", "SES", REQUEST)
    assert row.keys().isdisjoint({"confirmed_at", "released_for", "lease_until"})
    assert world.feedback(released(DELIVERY)) == []  # it comes late
    assert message(world) == row


@pytest.mark.parametrize("event", [DELAY, SOFT_BOUNCE, COMPLAINT], ids=["delay", "soft bounce", "complaint"])
def test_what_does_not_say_that_it_failed_changes_no_message(world: World, event: dict[str, Any]) -> None:
    release(world)
    before = message(world)
    assert world.feedback(released(event)) == []
    assert message(world) == before


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"released_for": "another"}, id="released by another request"),
        pytest.param({"status": "deleted"}, id="deleted meanwhile"),
        pytest.param({"status": "held"}, id="held again by an operator"),
    ],
)
@pytest.mark.parametrize("event", [REJECT, released(DELIVERY)], ids=["rejected", "delivered"])
def test_a_message_that_is_no_longer_of_that_release_stays_as_it_is(
    world: World, attributes: dict[str, Any], event: dict[str, Any]
) -> None:
    release(world, **attributes)
    before, told = message(world), Told()
    assert world.feedback(event, tell=told) == []
    assert (before, []) == (message(world), told)


def test_a_message_that_is_gone_is_not_made_again(world: World) -> None:
    ask(world, status="done", held_recipient=BOB, held_entry=ENTRY)
    assert world.feedback(REJECT, released(DELIVERY)) == []
    table = world.stack.environ["QUARANTINE_TABLE"]
    assert world.session.client("dynamodb").scan(TableName=table)["Items"] == []


def test_a_request_that_names_no_message_changes_none(world: World) -> None:
    release(world)
    ask(world)
    before = message(world)
    assert world.feedback(REJECT) == []
    assert message(world) == before


@pytest.mark.parametrize("kind", sorted(set(MailKind) - {MailKind.RELEASE}))
def test_only_the_released_mail_itself_holds_a_message_again(world: World, kind: MailKind) -> None:
    release(world, SALES)
    told = Told()
    assert world.feedback(about(BOUNCE, kind), about(REJECT, kind), tell=told) == []
    assert (message(world, SALES)["status"], told) == ("released", [])


# --- Whom to tell ---


def counted(capsys: pytest.CaptureFixture[str]) -> int:
    return capsys.readouterr().out.count('"UntoldReturns":[1.0]')


@pytest.mark.parametrize(
    ("mailbox", "event", "is_told"),
    [
        pytest.param(BOB, REJECT, True, id="rejected"),
        pytest.param(SALES, REJECT, True, id="rejected, for sales"),
        pytest.param(SALES, CONTENT_REJECTED, True, id="sales does not take it"),
        pytest.param(BOB, released(BOUNCE), False, id="Bob's own mailbox does not take it"),
        pytest.param("bob+x@example.com", released(BOUNCE), False, id="nor by another name"),
    ],
)
def test_the_requester_is_told_where_he_can_be(
    world: World, mailbox: str, event: dict[str, Any], is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    release(world, mailbox)
    told = Told()
    for _ in range(3):  # doubled events tell him once
        assert world.feedback(event, tell=told) == []
    assert [each.request_id for each in told] == [REQUEST] * is_told
    assert counted(capsys) == (not is_told)
    assert message(world, mailbox)["status"] == "held"


def test_he_is_told_what_happened(world: World) -> None:
    release(world, SALES)
    told = Told()
    assert world.feedback(CONTENT_REJECTED, tell=told) == []
    (failed,) = told
    assert failed.requester == Address.parse(BOB)
    assert (failed.held, failed.fate) == (HeldKey(SALES, ENTRY), Fate.BOUNCED)
    assert failed.detail == "Transient ContentRejected, smtp; 554 5.7.1 Message rejected as spam"
    assert world.row(REQUEST)["told_at"] == "2026-11-23T12:00:00.000Z"


@pytest.mark.parametrize("attempts", [1, 2])
def test_who_could_not_be_told_now_is_told_later(world: World, attempts: int) -> None:
    release(world, SALES)
    told = Told(*[ClientError({"Error": {"Code": "Throttling"}}, "SendEmail")] * attempts)
    for _ in range(attempts):
        assert world.feedback(REJECT, tell=told) == ["0"]
    assert world.feedback(REJECT, tell=told) == []
    assert len(told) == 1


def test_who_can_never_be_told_is_counted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    release(world, SALES)
    told = Told(SendRefused("MessageRejected: suppressed"))
    assert world.feedback(REJECT, tell=told) == []
    assert (counted(capsys), told) == (1, [])


@pytest.mark.parametrize(
    "requester", [pytest.param("arn:aws:iam::123456789012:user/ann", id="an operator"), None]
)
def test_an_operators_release_that_failed_is_counted(
    world: World, requester: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    release(world)
    ask(world, held_recipient=BOB, held_entry=ENTRY, requester=requester)
    assert world.feedback(REJECT, tell=Told()) == []
    assert counted(capsys) == 1
    assert message(world)["status"] == "held"


def test_while_another_process_tells_him_the_event_waits(world: World) -> None:
    release(world, SALES)
    requests = Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])
    requests.begin_telling(REQUEST, NOW, timedelta(seconds=60))
    told = Told()
    assert world.feedback(REJECT, tell=told) == ["0"]
    assert told == []
    world.clock.move(seconds=61)  # that process died
    assert world.feedback(REJECT, tell=told) == []
    assert len(told) == 1


# --- Failures ---


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", range(4))
def test_a_crash_at_any_call_loses_nothing(world: World, place: int, when: str) -> None:
    """The calls: the request's row, the message's row, the claim to tell, and that he was told."""
    release(world, SALES)
    wire, told = Wire(), Told()
    (wire.die_before if when == "before" else wire.die_after)(place)
    with pytest.raises(ProcessDied):
        world.feedback(CONTENT_REJECTED, session=wire.session, tell=told)
    world.clock.move(seconds=180)  # the visibility timeout
    assert world.feedback(CONTENT_REJECTED, tell=told) == []
    assert (message(world, SALES)["status"], fate(world)[0]) == ("held", "bounced")
    # Twice only if the process dies after it told him and before the row says so.
    assert len(told) == (2 if (place, when) == (3, "before") else 1)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param("not JSON", id="no JSON"),
        pytest.param({"source": "aws.ses"}, id="no mail"),
        pytest.param(
            json.loads(json.dumps(DELIVERY).replace('["quarantine"]', '["payroll"]')), id="another set"
        ),
    ],
)
def test_what_is_not_ours_becomes_a_dead_letter_alone(
    world: World, event: object, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(world)
    assert world.feedback(event, DELIVERY, received=5) == ["0"]
    assert fate(world)[0] == "delivered"
    assert '"DeadLetters":[1.0]' in capsys.readouterr().out
