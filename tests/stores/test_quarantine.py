"""How far a mailbox is read, which rows are counted, what that costs, and when a release is undone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from moto.dynamodb.models import dynamodb_backends

from quarantine.held import HeldKey
from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.stores.items import iso_seconds
from quarantine.stores.quarantine import HeldRows, Quarantine, ReleasedRows, Returned
from tests.world import NOW, World

BOB = Address.parse("bob@example.com")
KEPT_FOR = timedelta(days=30)

HELD = {"status": "held"}
RELEASED = {"status": "released"}
RELEASING = {"status": "releasing"}
CODE = "abcdefghijklmnop"
SOON, PAST = int(NOW.timestamp()) + 60, int(NOW.timestamp())
EXPIRED = {"status": "held", "expires_at": 1}

_serialize = TypeSerializer().serialize


def fill(world: World, newest_first: Iterable[dict[str, Any]], age: timedelta = timedelta()) -> None:
    """Put rows directly into moto's table: thousands of rows through its API would take minutes.

    age: of the newest; each other is a second older than the one before.
    """
    table = dynamodb_backends["123456789012"]["us-east-1"].get_table(world.stack.environ["QUARANTINE_TABLE"])
    for number, over in enumerate(newest_first):
        time = iso_seconds(NOW - age - timedelta(seconds=number))
        item = {
            "recipient": str(BOB),
            "entry": f"{time}#{number}",
            "message_id": str(number),
            "received_at": time,
            "reason": "spam",
            **over,
        }
        table.put_item({name: _serialize(value) for name, value in item.items()})


@dataclass(frozen=True, slots=True)
class Read:
    """The listing that report read from a mailbox, and the rows that it read for that."""

    shown: int
    total: int
    at_least: bool
    queries: int
    rows: int


def read(world: World, limit: int) -> Read:
    client = world.session.client("dynamodb")
    scanned: list[int] = []
    client.meta.events.register(
        "after-call.dynamodb.Query", lambda parsed, **_: scanned.append(parsed["ScannedCount"])
    )
    quarantine = Quarantine(
        client,
        world.stack.environ["QUARANTINE_TABLE"],
        Journal("test", "Tests", "quarantine").unreadable,
        KEPT_FOR,
    )
    holding = quarantine.held_for(BOB, NOW, limit)
    return Read(len(holding.newest), holding.total, holding.at_least, len(scanned), sum(scanned))


@pytest.mark.parametrize(
    ("newest_first", "limit", "expected"),
    [
        pytest.param([], 100, Read(0, 0, False, 1, 0), id="nothing"),
        pytest.param([HELD] * 3, 100, Read(3, 3, False, 1, 3), id="all are shown"),
        pytest.param([HELD] * 142, 100, Read(100, 142, False, 1, 142), id="less than a page is counted"),
        pytest.param([HELD] * 201, 100, Read(100, 200, True, 1, 200), id="more is not"),
        pytest.param([HELD] * 201, 300, Read(201, 201, False, 1, 201), id="a page has what a report lists"),
        pytest.param(
            [HELD, RELEASED] * 150, 100, Read(100, 100, True, 1, 200), id="a bound is what was seen as held"
        ),
        pytest.param(
            [RELEASED] * 450 + [HELD] * 2, 10, Read(2, 2, False, 2, 452), id="held behind released ones"
        ),
        pytest.param(
            [EXPIRED] * 250 + [HELD] * 900, 10, Read(10, 350, True, 2, 600), id="held behind expired ones"
        ),
        pytest.param([RELEASED] * 450, 10, Read(0, 0, False, 2, 450), id="all released"),
        pytest.param(
            [HELD | {"reason": "whim"}] * 250 + [HELD] * 9,
            5,
            Read(5, 9, False, 2, 259),
            id="what cannot be read counts for nothing",
        ),
    ],
)
def test_a_mailbox_is_read_until_there_is_enough_to_show(
    world: World, newest_first: list[dict[str, Any]], limit: int, expected: Read
) -> None:
    fill(world, newest_first)
    assert read(world, limit) == expected


@pytest.mark.parametrize(
    ("over", "offered"),
    [
        pytest.param({}, (None, False, False), id="a row of the version before"),
        pytest.param({"code": CODE}, (CODE, False, False), id="no mail is stored"),
        pytest.param({"code": CODE, "raw_key": "held/1"}, (CODE, True, False), id="held"),
        pytest.param({"code": "A"}, (None, False, False), id="a code that no address can have"),
        pytest.param(RELEASING | {"lease_until": SOON}, (None, False, True), id="on its way"),
        pytest.param(RELEASING | {"lease_until": PAST}, (None, False, False), id="its lease is over"),
        pytest.param(RELEASING, (None, False, False), id="on its way without a lease"),
    ],
)
def test_what_a_row_says_of_the_actions(
    world: World, over: dict[str, Any], offered: tuple[str | None, bool, bool]
) -> None:
    fill(world, [HELD | over])
    client, table = world.session.client("dynamodb"), world.stack.environ["QUARANTINE_TABLE"]
    journal = Journal("test", "Tests", "quarantine")
    (message,) = Quarantine(client, table, journal.unreadable, KEPT_FOR).held_for(BOB, NOW, 9).newest
    assert (message.code, message.is_stored, message.is_releasing) == offered


def test_a_full_mailbox_costs_no_more_than_a_page(world: World) -> None:
    fill(world, [HELD] * 200)
    page = read(world, 100)
    fill(world, [HELD] * 10_000)
    full = read(world, 100)
    assert (full.queries, full.rows) == (page.queries, page.rows) == (1, 200)
    assert (full.total, full.at_least) == (200, True)


def test_rows_that_have_expired_are_not_read_before_ttl_deletes_them(world: World) -> None:
    fill(world, [EXPIRED] * 2_000, age=KEPT_FOR + timedelta(seconds=1))
    assert read(world, 100) == Read(0, 0, False, 1, 0)
    fill(world, [HELD] * 3)
    assert read(world, 100) == Read(3, 3, False, 1, 3)


@pytest.mark.parametrize(
    ("age", "shown"),
    [
        pytest.param(KEPT_FOR - timedelta(seconds=1), 1, id="younger"),
        pytest.param(KEPT_FOR, 1, id="of the same second"),
        pytest.param(KEPT_FOR + timedelta(seconds=1), 0, id="older"),
    ],
)
def test_the_query_begins_at_the_longest_retention(world: World, age: timedelta, shown: int) -> None:
    fill(world, [HELD], age)
    assert read(world, 100).shown == shown


# --- What became of the mail that released a message ---

KEY = HeldKey("bob@example.com", "2026-11-23T09:30:00Z#<1@x.example>")


@pytest.mark.parametrize(
    ("attributes", "returned"),
    [
        pytest.param({"status": "released", "released_for": "r-1"}, Returned.NOW, id="released"),
        pytest.param({"status": "releasing", "released_for": "r-1"}, Returned.NOW, id="on its way"),
        pytest.param({"status": "held", "returned_for": "r-1"}, Returned.BEFORE, id="returned before"),
        pytest.param({"status": "released", "released_for": "r-2"}, Returned.NOT, id="of another request"),
        pytest.param(
            {"status": "released", "released_for": "r-2", "returned_for": "r-1"},
            Returned.NOT,
            id="returned, and released by another request",
        ),
        pytest.param({"status": "deleted", "released_for": "r-1"}, Returned.NOT, id="deleted"),
        pytest.param({"status": "held"}, Returned.NOT, id="held"),
        pytest.param(None, Returned.NOT, id="gone"),
    ],
)
def test_a_release_that_failed_is_undone_only_while_it_stands(
    world: World, attributes: dict[str, str] | None, returned: Returned
) -> None:
    if attributes is not None:
        held = {"entry": KEY.entry, "confirmed_at": "2026-11-23T12:00:00.000Z", **attributes}
        world.records.put_held(KEY.recipient, "<1@x.example>", NOW, "x@x.example", "Invoice", **held)
    released = ReleasedRows(world.session.client("dynamodb"), world.stack.environ["QUARANTINE_TABLE"])
    rows = HeldRows(world.session.client("dynamodb"), world.stack.environ["QUARANTINE_TABLE"])
    before = list(rows.rows_of(Address.parse(KEY.recipient)))
    assert returned is released.give_back(KEY, "r-1", NOW)
    after = list(rows.rows_of(Address.parse(KEY.recipient)))
    if returned is not Returned.NOW:
        assert before == after
        return
    (row,) = after
    assert (row["status"], row["acted_by"], row["returned_for"]) == ("held", "SES", "r-1")
    assert row.keys().isdisjoint({"released_for", "confirmed_at", "lease_until"})
    assert returned is not released.give_back(KEY, "r-1", NOW)
    assert not released.confirm(KEY, "r-1", NOW)
