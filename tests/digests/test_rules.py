from datetime import UTC, datetime, timedelta

import pytest

from quarantine.asking.admission import AuthRecord, Method
from quarantine.asking.commands import Wish
from quarantine.digests.rules import (
    PROVEN_FOR,
    Covering,
    DigestRecord,
    NoDigest,
    Reader,
    due_time,
    entitled,
)
from quarantine.digests.schedule import Schedule
from quarantine.mail.addresses import Address

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BOB = Address.parse("bob@example.com")
OURS = "reports.example.com"
AT_SEVEN = Schedule.parse(["07:00"], ["mon", "tue", "wed", "thu", "fri"], "UTC")
PROVEN = Reader(BOB, proven_at=NOW - timedelta(days=1))
STRANGER = Reader(BOB)

OWN = DigestRecord("bob@example.com", AT_SEVEN)
DOMAINS = DigestRecord("example.com", AT_SEVEN)
EVERYONES = DigestRecord("example.com", AT_SEVEN, everyone=True)
EVERYBODYS = DigestRecord("*", AT_SEVEN)


def off(record: DigestRecord) -> DigestRecord:
    return DigestRecord(record.principal, None)


@pytest.mark.parametrize(
    ("reader", "digests", "auth", "is_known", "expected"),
    [
        pytest.param(PROVEN, [DOMAINS], [], True, DOMAINS, id="the domain's"),
        pytest.param(PROVEN, [OWN, DOMAINS], [], True, OWN, id="their own before the domain's"),
        pytest.param(PROVEN, [DOMAINS, EVERYBODYS], [], True, DOMAINS, id="the domain's before everybody's"),
        pytest.param(PROVEN, [EVERYBODYS], [], True, EVERYBODYS, id="everybody's, of a known domain"),
        pytest.param(PROVEN, [EVERYBODYS], [], False, NoDigest.UNKNOWN_DOMAIN, id="of an unknown domain"),
        pytest.param(PROVEN, [], [], True, NoDigest.NO_SCHEDULE, id="no schedule"),
        pytest.param(PROVEN, [off(OWN), DOMAINS], [], True, NoDigest.SWITCHED_OFF, id="off for them"),
        pytest.param(PROVEN, [off(DOMAINS), EVERYBODYS], [], True, NoDigest.SWITCHED_OFF, id="off, domain"),
        pytest.param(PROVEN, [OWN, off(DOMAINS)], [], True, OWN, id="off for all others"),
        pytest.param(
            Reader(BOB, Wish.ON, NOW), [off(OWN)], [], True, NoDigest.SWITCHED_OFF, id="an off stands"
        ),
        pytest.param(Reader(BOB, Wish.OFF, NOW), [OWN], [], True, NoDigest.UNWANTED, id="unwanted"),
        pytest.param(Reader(BOB, Wish.ON, NOW), [DOMAINS], [], True, DOMAINS, id="wanted"),
        pytest.param(
            Reader(BOB, Wish.ON), [DOMAINS], [], True, NoDigest.UNPROVEN, id="a wish proves nothing"
        ),
        pytest.param(STRANGER, [DOMAINS], [], True, NoDigest.UNPROVEN, id="never proven"),
        pytest.param(STRANGER, [EVERYONES], [], True, EVERYONES, id="everyone of the domain"),
        pytest.param(STRANGER, [OWN], [], True, OWN, id="a digest record of their own"),
        pytest.param(
            STRANGER,
            [DOMAINS],
            [AuthRecord("bob@example.com", frozenset({Method.SPF}))],
            True,
            DOMAINS,
            id="an auth record of their own",
        ),
        pytest.param(
            STRANGER,
            [DOMAINS],
            [AuthRecord("example.com", frozenset({Method.SPF}))],
            True,
            NoDigest.UNPROVEN,
            id="an auth record of the domain vouches for nobody",
        ),
        pytest.param(
            Reader(BOB, proven_at=NOW - PROVEN_FOR), [DOMAINS], [], True, DOMAINS, id="proven a year ago"
        ),
        pytest.param(
            Reader(BOB, proven_at=NOW - PROVEN_FOR - timedelta(seconds=1)),
            [DOMAINS],
            [],
            True,
            NoDigest.UNPROVEN,
            id="proven longer ago",
        ),
        pytest.param(
            PROVEN, [DOMAINS], [AuthRecord("example.com", deny=True)], True, NoDigest.DENIED, id="denied"
        ),
        pytest.param(
            STRANGER,
            [EVERYONES],
            [AuthRecord("*", deny=True)],
            True,
            NoDigest.DENIED,
            id="denied as everybody is",
        ),
        pytest.param(
            Reader(BOB, proven_at=NOW, bounced_at=NOW), [OWN], [], True, NoDigest.BOUNCED, id="it bounced"
        ),
        pytest.param(
            Reader(BOB, bounced_at=NOW - timedelta(days=999)),
            [EVERYONES],
            [],
            True,
            NoDigest.BOUNCED,
            id="it bounced long ago",
        ),
        pytest.param(
            Reader(BOB, proven_at=NOW, bounced_at=NOW - timedelta(seconds=1)),
            [DOMAINS],
            [],
            True,
            DOMAINS,
            id="it bounced, and they asked since",
        ),
        pytest.param(
            PROVEN,
            [DigestRecord("bob@example.com", None, is_readable=False), DOMAINS],
            [],
            True,
            NoDigest.UNREADABLE,
            id="a record that cannot be read",
        ),
        pytest.param(
            Reader(Address.parse(f"bob@{OURS}"), proven_at=NOW),
            [DigestRecord("*", AT_SEVEN)],
            [],
            True,
            NoDigest.OUR_DOMAIN,
            id="at our own domain",
        ),
    ],
)
def test_who_gets_a_digest(
    reader: Reader,
    digests: list[DigestRecord],
    auth: list[AuthRecord],
    is_known: bool,
    expected: DigestRecord | NoDigest,
) -> None:
    assert entitled(reader, Covering(digests, auth, is_known), NOW, OURS) == expected


MONDAY, TUESDAY = (datetime(2026, 11, day, 7, 0, tzinfo=UTC) for day in (23, 24))


@pytest.mark.parametrize(
    ("schedule", "changed_at", "expected"),
    [
        pytest.param(AT_SEVEN, None, MONDAY, id="unchanged"),
        pytest.param(AT_SEVEN, MONDAY - timedelta(hours=1), MONDAY, id="changed to the same time"),
        pytest.param(
            Schedule.parse(["09:00"], ["mon"], "UTC"),
            MONDAY - timedelta(hours=1),
            MONDAY + timedelta(hours=2),
            id="to a later time",
        ),
        pytest.param(
            Schedule.parse(["06:30"], ["mon"], "UTC"),
            MONDAY - timedelta(hours=1),
            MONDAY - timedelta(minutes=30),
            id="to an earlier time, which no run has seen",
        ),
        pytest.param(
            Schedule.parse(["09:00"], ["mon"], "UTC"),
            MONDAY + timedelta(hours=1),
            MONDAY,
            id="after it was due",
        ),
        pytest.param(
            Schedule.parse(["09:00"], ["tue"], "UTC"),
            None,
            TUESDAY + timedelta(hours=2),
            id="at an unknown time",
        ),
    ],
)
def test_a_change_counts_from_the_next_time_on(
    schedule: Schedule, changed_at: datetime | None, expected: datetime
) -> None:
    assert due_time(DigestRecord("example.com", schedule, changed_at=changed_at), MONDAY) == expected
