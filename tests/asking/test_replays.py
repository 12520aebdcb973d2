"""A mail that only DKIM proves: fresh, or refused as a replay; what proves the connection waives that."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from quarantine.asking.admission import Accepted, AuthRecord, Method, Refusal, Refused, RelayRecord, decide
from quarantine.asking.commands import ReportCommand
from quarantine.asking.event import InboundMail, Verdict
from quarantine.mail.addresses import Address
from tests.mails import FRESH, TRIGGER, block, inbound, results

BOB = Address.parse("bob@example.com")
ASKED = ReportCommand(Address.parse(TRIGGER))
BY_DKIM = AuthRecord("example.com", frozenset({Method.DKIM}))
BY_DMARC = AuthRecord("example.com", frozenset({Method.DMARC}))
FORWARDED = replace(BY_DKIM, forwarded=True)
OTHER = "another@reports.example.com"


def signed(*fields: tuple[str, str], without: str = "", **over: object) -> InboundMail:
    """Return a fresh mail of Bob's that only a signature proves, with some fields instead of its own."""
    given = {name.lower() for name, _ in fields}
    own = [field for field in FRESH if field[0].lower() not in given | {without.lower()}]
    settings = {"ses": block(results("pass header.i=@example.com")), "fresh": False, "dkim": Verdict.PASS}
    return inbound(*own, *fields, **settings | over)  # type: ignore[arg-type]


def by(signature: str) -> tuple[str, str]:
    return ("DKIM-Signature", f"v=1; a=rsa-sha256; s=x; bh=x; b=x; {signature}")


def decided(mail: InboundMail, record: AuthRecord, *relays: RelayRecord) -> Accepted | Refused:
    return decide(mail, ASKED, BOB, [record], relays)


@pytest.mark.parametrize("record", [BY_DKIM, BY_DMARC], ids=["dkim", "dmarc"])
@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(signed(), id="a new mail"),
        pytest.param(signed(("To", f"Reports <{TRIGGER.upper()}>")), id="To in capitals"),
        pytest.param(signed(("To", f"al@example.com, {TRIGGER}")), id="To with another"),
        pytest.param(
            signed(
                ("To", "al@example.com"), ("Cc", TRIGGER), by("d=example.com; h=from:to:cc:date:message-id")
            ),
            id="in Cc, which is signed",
        ),
        pytest.param(signed(("Date", "Mon, 16 Nov 2026 12:00:00 +0000")), id="almost seven days old"),
        pytest.param(signed(("Date", "Mon, 23 Nov 2026 13:59:58 +0100")), id="a clock an hour ahead"),
        pytest.param(signed(("Date", "Mon, 23 Nov 2026 11:59:58 -0000")), id="no offset said"),
        pytest.param(
            signed(by("d=mail.example.com; h = From : To:\tDate: Message-Id :Subject")), id="spaces in h="
        ),
        pytest.param(
            signed(by("d=evil.example; h=From"), FRESH[3]), id="beside a signature of another domain"
        ),
    ],
)
def test_fresh(mail: InboundMail, record: AuthRecord) -> None:
    mail = replace(mail, verdicts=replace(mail.verdicts, dmarc=Verdict.PASS))
    request = decided(mail, record)
    assert isinstance(request, Accepted), request
    assert request.replay_key is not None


@pytest.mark.parametrize("record", [BY_DKIM, BY_DMARC], ids=["dkim", "dmarc"])
@pytest.mark.parametrize(
    ("mail", "says"),
    [
        pytest.param(signed(without="To"), "0 To fields", id="no To"),
        pytest.param(signed(("To", TRIGGER), ("To", "x@y.example")), "2 To fields", id="two To fields"),
        pytest.param(signed(("Cc", "a@b.example"), ("Cc", "c@d.example")), "2 Cc fields", id="two Cc fields"),
        pytest.param(signed(("To", "alice@example.com")), "neither To nor Cc names", id="written to Alice"),
        pytest.param(
            signed(("To", OTHER)), "neither To nor Cc names", id="written to another of our addresses"
        ),
        pytest.param(
            signed(recipients=(TRIGGER, OTHER)), f"names {OTHER}", id="one of two recipients is not named"
        ),
        pytest.param(
            signed(recipients=(TRIGGER.replace("@", "+x@"),)),
            "neither To nor Cc",
            id="a suffix that To lacks",
        ),
        pytest.param(
            signed(("To", f'"{TRIGGER}" <x@y.example>')), "neither To nor Cc", id="only the name in To"
        ),
        pytest.param(signed(("To", TRIGGER + " " * 70_000)), "too long", id="an endless To"),
        pytest.param(
            signed(("To", "(" * 5000 + ")" * 5000 + TRIGGER)), "too many", id="comments in comments"
        ),
        pytest.param(signed(("To", "a:" * 5000 + TRIGGER)), "too many", id="groups in groups"),
        pytest.param(signed(without="Date"), "0 Date fields", id="no Date"),
        pytest.param(signed(FRESH[1], FRESH[1]), "2 Date fields", id="two Date fields"),
        pytest.param(signed(("Date", "yesterday")), "cannot be read", id="a Date that is none"),
        pytest.param(
            signed(("Date", "Mon, 16 Nov 2026 11:59:57 +0000")), "written on", id="over seven days old"
        ),
        pytest.param(
            signed(("Date", "Mon, 23 Nov 2026 13:00:00 +0000")), "written on", id="over an hour ahead"
        ),
        pytest.param(signed(without="Message-ID"), "0 Message-ID", id="no Message-ID"),
        pytest.param(signed(FRESH[2], ("Message-ID", "<2@x>")), "2 Message-ID", id="a Message-ID added"),
        pytest.param(signed(without="DKIM-Signature"), "no signature", id="no signature to look at"),
        pytest.param(
            signed(by("d=evil.example; h=from:to:date:message-id")), "no signature", id="of another domain"
        ),
        *[
            pytest.param(
                signed(by(f"d=example.com; h={':'.join({'from', 'to', 'date', 'message-id'} - {name})}")),
                f"does not cover {name}",
                id=f"{name} is not signed",
            )
            for name in ("from", "to", "date", "message-id")
        ],
        pytest.param(signed(("Cc", "al@example.com")), "does not cover cc", id="Cc is not signed"),
        pytest.param(
            signed(FRESH[3], by("d=example.com; h=from")),
            "does not cover",
            id="one of two does not cover them",
        ),
        pytest.param(
            signed(by("d=example.com; h=from:to:date:message-id; h=from")), "does not cover", id="two h= tags"
        ),
        pytest.param(signed(by("d=example.com")), "does not cover", id="no h= tag"),
    ],
)
def test_replayed(mail: InboundMail, says: str, record: AuthRecord) -> None:
    mail = replace(mail, verdicts=replace(mail.verdicts, dmarc=Verdict.PASS))
    refused = decided(mail, record)
    assert isinstance(refused, Refused), refused
    assert (refused.reason, refused.requester) == (Refusal.REPLAYED, BOB)
    assert says in refused.detail


OLD = signed(("Date", "Mon, 2 Nov 2026 12:00:00 +0000"), without="To")


@pytest.mark.parametrize("record", [BY_DKIM, BY_DMARC, replace(BY_DKIM, accept=frozenset(Method))])
def test_nothing_of_it_applies_where_spf_proves_the_connection(record: AuthRecord) -> None:
    mail = replace(OLD, verdicts=replace(OLD.verdicts, spf=Verdict.PASS, dmarc=Verdict.PASS))
    request = decided(mail, record)
    assert isinstance(request, Accepted)
    assert request.replay_key is None


def test_spf_of_another_domain_proves_nothing() -> None:
    mail = replace(OLD, envelope_from="x@evil.example", verdicts=replace(OLD.verdicts, spf=Verdict.PASS))
    refused = decided(mail, BY_DKIM)
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.REPLAYED


def test_nothing_of_it_applies_to_a_relay() -> None:
    request = decided(OLD, BY_DKIM, RelayRecord("example.com", ip_network("192.0.2.0/24")))
    assert isinstance(request, Accepted)
    assert request.replay_key is None


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(signed(("To", "quarantine@example.com")), id="To names the alias"),
        pytest.param(signed(without="To"), id="no To"),
        pytest.param(signed(by("d=example.com; h=from:date:message-id")), id="To is not signed"),
    ],
)
def test_a_company_that_forwards_needs_no_to(mail: InboundMail) -> None:
    assert isinstance(decided(mail, FORWARDED), Accepted)
    assert isinstance(decided(mail, BY_DKIM), Refused)


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(signed(("Date", "Mon, 2 Nov 2026 12:00:00 +0000")), id="old"),
        pytest.param(signed(by("d=example.com; h=from:date")), id="Message-ID is not signed"),
        pytest.param(signed(("Cc", "al@example.com")), id="Cc is not signed"),
    ],
)
def test_a_company_that_forwards_needs_all_else(mail: InboundMail) -> None:
    assert isinstance(decided(mail, FORWARDED), Refused)


def test_a_mail_is_known_again_however_it_is_folded() -> None:
    def key(message_id: str) -> str | None:
        request = decided(signed(("Message-ID", message_id)), BY_DKIM)
        assert isinstance(request, Accepted)
        return request.replay_key

    assert key("<a@x>") == key(" <a@x> ") == key("<a\t@x>") != key("<b@x>")
