from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.asking.admission import (
    Accepted,
    AuthRecord,
    Method,
    Refusal,
    Refused,
    RelayRecord,
    decide,
    evidence,
    principals,
    screen,
)
from quarantine.asking.commands import ReportCommand
from quarantine.asking.event import InboundMail, Verdict
from quarantine.mail.addresses import Address
from tests.mails import HELO, MESSAGE_ID, PEER, RECEIVED_AT, TRIGGER, block, inbound, received, results

BOB = Address.parse("bob@example.com")
ASKED = Address.parse(TRIGGER)
OURS = Address.parse("quarantine@reports.example.com")
RELAY = RelayRecord("example.com", ip_network("192.0.2.0/24"))


def screened(mail: InboundMail) -> Address | Refused:
    return screen(mail, ASKED.local, OURS)


def decided(mail: InboundMail, *auth: AuthRecord, relays: tuple[RelayRecord, ...] = ()) -> Accepted | Refused:
    return decide(mail, ReportCommand(ASKED), BOB, auth, relays)


def accepting(*methods: Method, principal: str = "example.com") -> AuthRecord:
    return AuthRecord(principal, accept=frozenset(methods))


# --- screen: the mail by itself ---


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(inbound(), id="plain"),
        pytest.param(inbound(("Auto-Submitted", "no")), id="Auto-Submitted: no"),
        pytest.param(inbound(("Auto-Submitted", "No (really); x=y")), id="with comment and parameter"),
        pytest.param(inbound(("Precedence", "first-class")), id="another precedence"),
        pytest.param(inbound(("X-List-Unsubscribe", "x")), id="a field that only ends like a list's"),
        pytest.param(inbound(spam=Verdict.GRAY, virus=Verdict.PROCESSING_FAILED), id="no clear scan"),
        pytest.param(inbound(spam=Verdict.UNKNOWN, virus=Verdict.DISABLED), id="no scan"),
    ],
)
def test_a_persons_mail_has_a_requester(mail: InboundMail) -> None:
    assert screened(mail) == BOB


_TWO = ("From", "alice@example.com")


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        pytest.param(inbound(("Auto-Submitted", "auto-replied")), Refusal.AUTOMATIC, id="out of office"),
        pytest.param(inbound(("auto-submitted", "Auto-Generated; x=no")), Refusal.AUTOMATIC, id="generated"),
        pytest.param(inbound(("Auto-Submitted", "")), Refusal.AUTOMATIC, id="empty Auto-Submitted"),
        pytest.param(
            inbound(("Auto-Submitted", "(no) auto-replied")), Refusal.AUTOMATIC, id="no in a comment"
        ),
        pytest.param(
            inbound(("Auto-Submitted", "no"), ("Auto-Submitted", "auto-replied")),
            Refusal.AUTOMATIC,
            id="one of two",
        ),
        pytest.param(inbound(("Precedence", "Bulk")), Refusal.AUTOMATIC, id="bulk"),
        pytest.param(inbound(("Precedence", "junk")), Refusal.AUTOMATIC, id="junk"),
        pytest.param(inbound(("Precedence", '"bulk" (a (b))')), Refusal.AUTOMATIC, id="bulk, decorated"),
        pytest.param(inbound(("Precedence", "list")), Refusal.AUTOMATIC, id="list"),
        pytest.param(inbound(("List-Id", "<x.example.com>")), Refusal.AUTOMATIC, id="List-Id"),
        pytest.param(inbound(("list-anything", "")), Refusal.AUTOMATIC, id="any List field"),
        pytest.param(inbound(("X-Quarantine-Report", "x")), Refusal.AUTOMATIC, id="our loop marker"),
        pytest.param(inbound(envelope_from=""), Refusal.AUTOMATIC, id="bounce"),
        pytest.param(
            inbound(ses=[("Return-Path", "<>"), received()]), Refusal.AUTOMATIC, id="empty Return-Path"
        ),
        pytest.param(
            inbound(sender="x <quarantine@REPORTS.example.com>"), Refusal.AUTOMATIC, id="our own sender"
        ),
        pytest.param(inbound(sender="manual-report-request@else.example"), Refusal.AUTOMATIC, id="a trigger"),
        pytest.param(
            inbound(sender="quarantine+x@reports.example.com"), Refusal.AUTOMATIC, id="with a suffix"
        ),
        pytest.param(
            inbound(sender="manual-report-request+x@a.example"), Refusal.AUTOMATIC, id="a suffix, too"
        ),
        pytest.param(inbound(sender="MAILER-DAEMON@example.com"), Refusal.AUTOMATIC, id="mailer-daemon"),
        pytest.param(inbound(sender="Postmaster@example.com"), Refusal.AUTOMATIC, id="postmaster"),
        pytest.param(inbound(_TWO, envelope_from=""), Refusal.AUTOMATIC, id="automatic before ambiguous"),
        pytest.param(inbound(sender=None), Refusal.AMBIGUOUS_SENDER, id="no From"),
        pytest.param(inbound(_TWO), Refusal.AMBIGUOUS_SENDER, id="two From fields"),
        pytest.param(
            inbound(("From ", "bob@example.com")), Refusal.AMBIGUOUS_SENDER, id="From with a space, too"
        ),
        pytest.param(inbound(("FROM", "bob@example.com")), Refusal.AMBIGUOUS_SENDER, id="twice the same"),
        pytest.param(
            inbound(sender="a@example.com, b@example.com"), Refusal.AMBIGUOUS_SENDER, id="two addresses"
        ),
        pytest.param(
            inbound(_TWO, virus=Verdict.FAIL), Refusal.AMBIGUOUS_SENDER, id="ambiguous before infected"
        ),
        pytest.param(
            inbound(("X", "a\rFrom: eve@x.example")), Refusal.AMBIGUOUS_SENDER, id="a bare CR in any field"
        ),
        pytest.param(
            inbound(("X", "a\x0bFrom: eve@x.example")), Refusal.AMBIGUOUS_SENDER, id="a vertical tab"
        ),
        pytest.param(inbound(("X", "a\nFrom: eve@x.example")), Refusal.AMBIGUOUS_SENDER, id="a bare LF"),
        pytest.param(
            inbound(("From\x00", "eve@x.example")), Refusal.AMBIGUOUS_SENDER, id="NUL in a field's name"
        ),
        pytest.param(
            inbound(("From\xad", "eve@x.example")), Refusal.AMBIGUOUS_SENDER, id="soft hyphen in a name"
        ),
        pytest.param(inbound(("no colon", "")), Refusal.AMBIGUOUS_SENDER, id="a line that is no field"),
        pytest.param(inbound(virus=Verdict.FAIL), Refusal.INFECTED, id="virus"),
        pytest.param(
            inbound(virus=Verdict.FAIL, spam=Verdict.FAIL), Refusal.INFECTED, id="infected before spam"
        ),
        pytest.param(inbound(spam=Verdict.FAIL), Refusal.SPAM, id="spam"),
    ],
)
def test_a_mail_that_may_not_ask(mail: InboundMail, expected: Refusal) -> None:
    refused = screened(mail)
    assert isinstance(refused, Refused)
    assert expected is refused.reason
    assert refused.detail


def test_a_refusal_names_its_requester_where_there_is_one() -> None:
    for mail, expected in ((inbound(spam=Verdict.FAIL), BOB), (inbound(_TWO), None)):
        refused = screened(mail)
        assert isinstance(refused, Refused)
        assert refused.requester == expected


# --- decide: is it proven to be theirs ---

DMARC = inbound(dmarc=Verdict.PASS)
DKIM = inbound(ses=block(results("pass header.i=@mail.example.com")), dkim=Verdict.PASS)
SPF = inbound(envelope_from="bounce+bob@mail.example.com", spf=Verdict.PASS)
ALL = accepting(*Method)


def dmarc_of(*domains: str, helo: str = HELO) -> InboundMail:
    """Return a mail with a DMARC verdict of PASS, of the From domain that SES names, or more of them."""
    return dmarc_with(" ".join(f"header.from={domain}" for domain in domains), helo)


def dmarc_with(said: str, helo: str = HELO) -> InboundMail:
    """Return a mail with a DMARC verdict of PASS, and what SES says of its From domain."""
    name, value = results(helo=helo)
    return inbound(ses=block((name, value.replace("header.from=example.com", said))), dmarc=Verdict.PASS)


@pytest.mark.parametrize(
    ("mail", "auth", "relays"),
    [
        pytest.param(DMARC, [accepting(Method.DMARC)], [], id="dmarc"),
        pytest.param(dmarc_of("Mail.Example.com"), [ALL], [], id="dmarc of an aligned domain"),
        pytest.param(DKIM, [accepting(Method.DKIM)], [], id="aligned dkim"),
        pytest.param(SPF, [accepting(Method.SPF)], [], id="aligned spf"),
        pytest.param(DMARC, [accepting(Method.DMARC, principal="*")], [], id="by the record of everybody"),
        pytest.param(DMARC, [accepting(Method.SPF, Method.DMARC)], [], id="one of two methods"),
        pytest.param(inbound(), [], [RELAY], id="relay"),
        pytest.param(
            inbound(), [], [RelayRecord("*", ip_network("192.0.2.45/32"))], id="relay for every domain"
        ),
        pytest.param(
            inbound(ses=block(first=received(peer="2001:db8::7"))),
            [],
            [RelayRecord("example.com", ip_network("2001:db8::/64"))],
            id="relay by IPv6",
        ),
        pytest.param(
            inbound(), [AuthRecord("bob@example.com")], [RELAY], id="relay beside a record of no method"
        ),
        pytest.param(
            inbound(dmarc=Verdict.FAIL), [accepting(Method.DMARC)], [RELAY], id="relay where dmarc fails"
        ),
    ],
)
def test_accepted(mail: InboundMail, auth: list[AuthRecord], relays: list[RelayRecord]) -> None:
    request = decided(mail, *auth, relays=tuple(relays))
    assert isinstance(request, Accepted)
    assert request.requester == BOB
    assert request.mailboxes == (BOB,)


_OTHER_DKIM = inbound(ses=block(results("pass header.i=@evil.example")), dkim=Verdict.PASS)
_EVERY_PASS: dict[str, Any] = dict.fromkeys(("spf", "dkim", "dmarc"), Verdict.PASS)


@pytest.mark.parametrize(
    ("mail", "auth", "relays"),
    [
        pytest.param(inbound(**_EVERY_PASS), [], [], id="no record at all"),
        pytest.param(inbound(**_EVERY_PASS), [AuthRecord("example.com")], [], id="a record of no method"),
        pytest.param(DMARC, [accepting(Method.SPF, Method.DKIM)], [], id="another method"),
        pytest.param(DMARC, [AuthRecord("bob@example.com"), ALL], [], id="the more specific record counts"),
        pytest.param(dmarc_of("evil.example"), [ALL], [], id="dmarc of another From"),
        pytest.param(dmarc_of("evil.example", "example.com"), [ALL], [], id="dmarc of two domains"),
        pytest.param(dmarc_of("not_a_domain"), [ALL], [], id="dmarc of no domain"),
        pytest.param(dmarc_of(), [ALL], [], id="dmarc of no named domain"),
        pytest.param(dmarc_with("header.from = example.com"), [ALL], [], id="dmarc, spaces about the sign"),
        pytest.param(
            dmarc_with("header.from=example.com header.from = evil.example"),
            [ALL],
            [],
            id="dmarc, one with spaces",
        ),
        pytest.param(dmarc_with("header.from="), [ALL], [], id="dmarc of an empty domain"),
        pytest.param(dmarc_with("Header.From"), [ALL], [], id="dmarc of a bare word"),
        pytest.param(
            inbound(
                ses=block(("Authentication-Results", "evil.example; dmarc=pass header.from=example.com")),
                dmarc=Verdict.PASS,
            ),
            [ALL],
            [],
            id="dmarc in the results of another server",
        ),
        pytest.param(inbound(ses=[], dmarc=Verdict.PASS), [ALL], [], id="dmarc without a word of SES"),
        pytest.param(
            dmarc_of("evil.example", helo='x header.from=example.com "'), [ALL], [], id="dmarc, odd HELO"
        ),
        pytest.param(_OTHER_DKIM, [ALL], [], id="dkim of another domain"),
        pytest.param(inbound(dkim=Verdict.PASS), [ALL], [], id="dkim of no named domain"),
        pytest.param(replace(DKIM, verdicts=inbound().verdicts), [ALL], [], id="dkim named, but no verdict"),
        pytest.param(
            inbound(envelope_from="eve@evil.example", spf=Verdict.PASS), [ALL], [], id="spf of another domain"
        ),
        pytest.param(
            inbound(envelope_from='"@example.com"@evil.example', spf=Verdict.PASS),
            [ALL],
            [],
            id="spf, quoted sender",
        ),
        pytest.param(
            inbound(envelope_from="bob@example.com@evil.example", spf=Verdict.PASS),
            [ALL],
            [],
            id="spf, two ats",
        ),
        pytest.param(inbound(envelope_from="bob", spf=Verdict.PASS), [ALL], [], id="spf, no domain"),
        pytest.param(
            inbound(), [], [RelayRecord("example.com", ip_network("192.0.2.0/27"))], id="next network"
        ),
        pytest.param(
            inbound(), [], [RelayRecord("example.net", ip_network("0.0.0.0/0"))], id="another's relay"
        ),
        pytest.param(inbound(), [], [RelayRecord("com", ip_network("0.0.0.0/0"))], id="relay of the suffix"),
        pytest.param(inbound(), [], [RelayRecord("*", ip_network("::/0"))], id="IPv4 in no IPv6 network"),
        pytest.param(inbound(ses=[]), [], [RelayRecord("*", ip_network("0.0.0.0/0"))], id="no trusted peer"),
    ],
)
def test_unauthenticated(mail: InboundMail, auth: list[AuthRecord], relays: list[RelayRecord]) -> None:
    refused = decided(mail, *auth, relays=tuple(relays))
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.UNAUTHENTICATED
    assert refused.requester == BOB


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.PASS])
@pytest.mark.parametrize("method", Method)
def test_only_pass_accepts(method: Method, verdict: Verdict) -> None:
    signed = inbound(
        ses=block(results("pass header.i=@example.com")), **_EVERY_PASS | {method.value: verdict}
    )
    assert isinstance(decided(signed, accepting(method)), Refused)
    assert isinstance(decided(inbound(ses=signed_block(), **_EVERY_PASS), accepting(method)), Accepted)


def signed_block() -> list[tuple[str, str]]:
    return block(results("pass header.i=@example.com"))


@pytest.mark.parametrize("denied", ["bob@example.com", "example.com"])
def test_a_denial_beats_whatever_accepts(denied: str) -> None:
    auth = [replace(ALL, principal=name, deny=name == denied) for name in principals(BOB)]
    refused = decided(DMARC, *auth, relays=(RELAY,))
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.DENIED
    assert denied in refused.detail


def test_a_denial_of_everybody_holds_for_those_without_a_record() -> None:
    nobody = AuthRecord("*", deny=True)
    refused = decided(DMARC, nobody, relays=(RELAY,))
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.DENIED
    assert isinstance(decided(DMARC, ALL, nobody), Accepted)


@given(
    st.sets(st.sampled_from(Method)),
    st.fixed_dictionaries(dict.fromkeys(("spf", "dkim", "dmarc"), st.sampled_from(Verdict))),
    st.sampled_from(["example.com", "evil.example"]),
    st.sampled_from(["bob@example.com", "eve@evil.example", ""]),
)
def test_nothing_is_accepted_unless_a_method_passed(
    accept: set[Method], verdicts: dict[str, Any], signer: str, envelope_from: str
) -> None:
    mail = inbound(ses=block(results(f"pass header.i=@{signer}")), envelope_from=envelope_from, **verdicts)
    proofs = {
        Method.DMARC: verdicts["dmarc"] is Verdict.PASS,
        Method.DKIM: verdicts["dkim"] is Verdict.PASS and signer == "example.com",
        Method.SPF: verdicts["spf"] is Verdict.PASS and envelope_from == "bob@example.com",
    }
    expected = any(proofs[method] for method in accept)
    assert expected is isinstance(decided(mail, accepting(*accept)), Accepted)


# --- what a request carries ---


def test_a_request_says_who_asked_when_and_why_it_was_accepted() -> None:
    request = decided(inbound(), relays=(RELAY,))
    assert isinstance(request, Accepted)
    assert (request.request_id, request.command.written_to, request.received_at) == (
        MESSAGE_ID,
        ASKED,
        RECEIVED_AT,
    )
    assert request.accepted_by == f"{PEER}, by the relay record 192.0.2.0/24 of example.com"


def test_only_the_addresss_own_record_opens_other_mailboxes() -> None:
    sales, boss = Address.parse("sales@example.com"), Address.parse("boss@example.com")
    own = replace(ALL, principal="bob@example.com", mailboxes=(sales, BOB))
    wide = replace(ALL, mailboxes=(boss,))
    request = decided(DMARC, own, wide)
    assert isinstance(request, Accepted)
    assert request.mailboxes == (BOB, sales)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        pytest.param("Mon, 23 Nov 2026 13:00:00 +0100", timedelta(hours=1), id="east"),
        pytest.param(
            "Mon, 23 Nov 2026 13:00:00 -0330", timedelta(hours=-3, minutes=-30), id="west, half an hour"
        ),
        pytest.param("Mon, 23 Nov 2026 13:00:00 -0000", timedelta(), id="no offset said"),
        pytest.param("Mon, 23 Nov 2026 13:00:00 +9959", timedelta(), id="no offset on earth"),
        pytest.param("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", timedelta(), id="no number either"),
        pytest.param("yesterday", timedelta(), id="no date"),
        pytest.param("", timedelta(), id="empty"),
        pytest.param(None, timedelta(), id="missing"),
    ],
)
def test_the_requesters_utc_offset(date: str | None, expected: timedelta) -> None:
    fields = [("Date", date)] if date is not None else []
    request = decided(inbound(*fields, fresh=False), relays=(RELAY,))
    assert isinstance(request, Accepted)
    assert request.reply.utc_offset == expected


@given(st.text())
def test_no_date_is_too_odd(date: str) -> None:
    request = decided(inbound(("Date", date)), relays=(RELAY,))
    assert isinstance(request, Accepted)
    assert abs(request.reply.utc_offset) <= timedelta(hours=14)


@pytest.mark.parametrize(
    ("fields", "message_id", "references"),
    [
        pytest.param([("Message-ID", "<1@example.com>")], "<1@example.com>", (), id="first of a thread"),
        pytest.param(
            [("Message-ID", "<3@x>"), ("References", "<1@x>\t<2@x>"), ("In-Reply-To", "<0@x>")],
            "<3@x>",
            ("<1@x>", "<2@x>"),
            id="in a thread",
        ),
        pytest.param([("Message-ID", "<2@x>"), ("In-Reply-To", "<1@x>")], "<2@x>", ("<1@x>",), id="a reply"),
        pytest.param([], None, (), id="none"),
        pytest.param([("Message-ID", "nonsense")], None, (), id="no msg-id"),
        pytest.param([("Message-ID", "<a\rBcc: x@y>")], None, (), id="a header to inject"),
        pytest.param([("Message-ID", "<ø@x>")], None, (), id="beyond ASCII"),
        pytest.param([("Message-ID", f"<{'a' * 200}@x>")], None, (), id="too long"),
        pytest.param(
            [("References", " ".join(f"<{n}@x>" for n in range(50)))],
            None,
            ("<0@x>", *(f"<{n}@x>" for n in range(41, 50))),
            id="the first and the latest nine",
        ),
    ],
)
def test_threading(
    fields: list[tuple[str, str]], message_id: str | None, references: tuple[str, ...]
) -> None:
    request = decided(inbound(*fields, fresh=False), relays=(RELAY,))
    assert isinstance(request, Accepted)
    assert (message_id, references) == (request.reply.message_id, request.reply.references)


def test_evidence_shows_what_a_decision_rests_on() -> None:
    mail = inbound(_TWO, ses=signed_block(), dkim=Verdict.PASS)
    expected = {
        "from": "Bob <bob@example.com> | alice@example.com",
        "envelope_from": "bob@example.com",
        "recipients": TRIGGER,
        "connecting_ip": PEER,
        "dkim_domains": "example.com",
        "spam": "GRAY",
        "virus": "GRAY",
        "spf": "GRAY",
        "dkim": "PASS",
        "dmarc": "GRAY",
    }
    assert expected == evidence(mail)


@given(st.text(), st.text(), st.lists(st.text(), max_size=5))
def test_evidence_is_short(sender: str, envelope_from: str, recipients: list[str]) -> None:
    mail = inbound(sender=sender * 300, envelope_from=envelope_from * 300, recipients=tuple(recipients) * 90)
    assert all(len(text) < 1000 for text in evidence(mail).values())
