import copy
import json
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarantine.asking.event import MalformedEvent, Verdict, parse_event, with_raw_header
from quarantine.asking.trace import connecting_ip, dkim_domains
from quarantine.mail.strict import Header, MalformedHeader, parse_header
from tests.mails import MESSAGE_ID, PEER, block, inbound, received, results

EVENT: dict[str, Any] = {
    "Records": [
        {
            "eventSource": "aws:ses",
            "eventVersion": "1.0",
            "ses": {
                "mail": {
                    "timestamp": "2026-11-23T11:59:58.123Z",
                    "source": "bob@example.com",
                    "messageId": MESSAGE_ID,
                    "destination": ["x@y.example"],
                    "headersTruncated": False,
                    "headers": [{"name": "From", "value": "bob@example.com"}],
                },
                "receipt": {
                    "recipients": ["manual-report-request@reports.example.com"],
                    "spamVerdict": {"status": "PASS"},
                    "virusVerdict": {"status": "FAIL"},
                    "spfVerdict": {"status": "GRAY"},
                    "dkimVerdict": {"status": "PROCESSING_FAILED"},
                    "dmarcVerdict": {"status": "DISABLED"},
                },
            },
        }
    ]
}


def changed(part: str, name: str, value: object) -> dict[str, Any]:
    """Return the event with one field of its mail or receipt changed, or removed if the value is None."""
    event = copy.deepcopy(EVENT)
    fields = event["Records"][0]["ses"][part]
    if value is None:
        del fields[name]
    else:
        fields[name] = value
    return event


def test_an_event_becomes_a_mail() -> None:
    mail = parse_event(EVENT)
    assert mail.message_id == MESSAGE_ID
    assert mail.recipients == ("manual-report-request@reports.example.com",)
    assert mail.envelope_from == "bob@example.com"
    assert mail.headers == (Header("From", "bob@example.com"),)
    assert mail.headers_truncated is False
    assert mail.received_at.isoformat() == "2026-11-23T11:59:58.123000+00:00"
    assert [mail.verdicts.spam, mail.verdicts.virus, mail.verdicts.spf] == ["PASS", "FAIL", "GRAY"]
    assert [mail.verdicts.dkim, mail.verdicts.dmarc] == ["PROCESSING_FAILED", "DISABLED"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("<>", "", id="null reverse-path"),
        pytest.param("", "", id="empty"),
        pytest.param(None, "", id="missing"),
        pytest.param("prvs=1=bob@example.com", "prvs=1=bob@example.com", id="BATV"),
    ],
)
def test_envelope_sender(source: str | None, expected: str) -> None:
    assert expected == parse_event(changed("mail", "source", source)).envelope_from


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="missing"),
        pytest.param("PASS", id="no object"),
        pytest.param({}, id="no status"),
        pytest.param({"status": "pass"}, id="lower case"),
        pytest.param({"status": "SURE"}, id="a word that we do not know"),
        pytest.param({"status": ["PASS"]}, id="a list"),
    ],
)
def test_what_is_no_verdict_is_unknown(value: object) -> None:
    assert parse_event(changed("receipt", "dmarcVerdict", value)).verdicts.dmarc is Verdict.UNKNOWN


@pytest.mark.parametrize("value", ["true", 1, 0, True, [], {}])
def test_headers_count_as_cut_unless_ses_says_no(value: object) -> None:
    assert parse_event(changed("mail", "headersTruncated", value)).headers_truncated is True


def test_an_event_without_the_mark_is_not_cut() -> None:
    assert parse_event(changed("mail", "headersTruncated", None)).headers_truncated is False


BAD_FIELDS: list[tuple[str, str, list[object]]] = [
    ("mail", "messageId", [None, 7, "", "../../secret", "cooldown#bob@example.com", "a" * 129, "a\n"]),
    ("mail", "source", [7, ["bob@example.com"]]),
    ("mail", "headers", [None, {}, "From", [7], [{"name": "From"}], [{"name": "From", "value": 7}]]),
    ("mail", "timestamp", [None, 7, "yesterday", "0001-01-01T00:00:00+23:00"]),
    ("receipt", "recipients", [None, "bob", [7]]),
]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="list"),
        pytest.param({}, id="empty"),
        pytest.param({"Records": []}, id="no record"),
        pytest.param({"Records": EVENT["Records"] * 2}, id="two records"),
        pytest.param(
            {"Records": [{"eventSource": "aws:s3", "ses": {"mail": {}, "receipt": {}}}]}, id="of S3"
        ),
        pytest.param({"Records": [{"eventSource": "aws:ses", "ses": {"mail": {}}}]}, id="no receipt"),
        pytest.param(
            {"Records": [{"eventSource": "aws:ses", "ses": {"mail": {}, "receipt": {}}}]}, id="empty mail"
        ),
        *[
            pytest.param(changed(part, name, value), id=f"{name}={value!r}")
            for part, name, values in BAD_FIELDS
            for value in values
        ],
    ],
)
def test_anything_else_is_malformed(event: object) -> None:
    with pytest.raises(MalformedEvent):
        parse_event(event)


def test_a_lone_surrogate_does_not_get_in() -> None:
    headers = [{"name": "From\ud800", "value": "bob\udfff@example.com"}]
    mail = parse_event(changed("mail", "headers", headers))
    assert mail.headers == (Header("From?", "bob?@example.com"),)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["mail", "receipt"]), st.data(), _JSON)
def test_the_parser_raises_only_malformed_event(part: str, data: st.DataObject, value: object) -> None:
    name = data.draw(st.sampled_from(sorted(EVENT["Records"][0]["ses"][part])))
    event = json.loads(json.dumps(changed(part, name, value)))
    for candidate in (event, value):
        try:
            parse_event(candidate)
        except MalformedEvent:
            continue


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"A: 1\r\nB: 2\r\n\r\nC: 3\r\n", [("A", "1"), ("B", "2")], id="body left out"),
        pytest.param(b"A: 1\r\n\tx\r\n  y\r\n\r\n", [("A", "1\tx  y")], id="folded"),
        pytest.param(b"A: 1\nB: 2\n\nC: 3", [("A", "1"), ("B", "2")], id="LF throughout"),
        pytest.param(b"A: 1\rB: 2\r\n\r\n", [("A", "1\rB: 2")], id="a bare CR ends no line"),
        pytest.param(b"A : 1\r\n\r\n", [("A ", "1")], id="space before the colon"),
        pytest.param(b"nonsense\r\nA: 1\r\n\r\n", [("", "nonsense"), ("A", "1")], id="a line without colon"),
        pytest.param(b"A: \xff\xc3\xb8\r\n\r\n", [("A", "\N{REPLACEMENT CHARACTER}ø")], id="8-bit"),
        pytest.param(b"\r\nA: 1\r\n\r\n", [], id="no header at all"),
        pytest.param(b"A:1\r\n\r\n", [("A", "1")], id="no space"),
    ],
)
def test_a_raw_header_section(raw: bytes, expected: list[tuple[str, str]]) -> None:
    assert expected == [(header.name, header.value) for header in parse_header(raw)]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"A: 1", id="no line end"),
        pytest.param(b"A: 1\r\n", id="no empty line"),
        pytest.param(b"A: 1\r\r\n\r", id="stray CRs"),
        pytest.param(b"A: 1\r\nB: 2\n\nC: 3\r\n\r\n", id="an empty line of LF before the one of CRLF"),
        pytest.param(b"A: 1\r\nB: 2\nFrom: x\r\n\r\n", id="a bare LF among CRLF"),
        pytest.param(b"A: 1\nB: 2\r\nFrom: x\n\n", id="a CRLF among LF"),
    ],
)
def test_a_header_section_that_two_readers_could_end_elsewhere_is_not_guessed(raw: bytes) -> None:
    with pytest.raises(MalformedHeader):
        parse_header(raw)


def test_a_cut_mail_gets_the_header_of_the_raw_one() -> None:
    mail = with_raw_header(inbound(truncated=True), b"From: carol@example.com\r\n\r\nFrom: eve@evil.example")
    assert mail.headers == (Header("From", "carol@example.com"),)
    assert mail.headers_truncated is False


def test_a_field_is_found_in_any_case_and_with_space_before_the_colon() -> None:
    mail = inbound(("from", "a"), ("FROM ", "b"), sender="c")
    assert mail.values("From") == ("c", "a", "b")


FORGED = (
    f"from x (x [198.51.100.9]) by inbound-smtp.us-east-1.amazonaws.com with SMTP id {MESSAGE_ID} for x; date"
)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        pytest.param(received(), PEER, id="IPv4"),
        pytest.param(received(peer="2001:db8::1"), "2001:db8::1", id="IPv6"),
        pytest.param(received(peer="IPv6:2001:db8::1"), "2001:db8::1", id="IPv6 with its tag"),
        pytest.param(received(peer="::ffff:192.0.2.45"), PEER, id="IPv4-mapped IPv6 is the IPv4 address"),
        pytest.param(received(helo="[198.51.100.9]"), PEER, id="HELO is an address"),
        pytest.param(
            received(
                helo="x ([198.51.100.9]) by inbound-smtp.us-east-1.amazonaws.com with SMTP id 0123 for x"
            ),
            PEER,
            id="HELO imitates SES's text",
        ),
        pytest.param(received(message_id="0" * 40), None, id="another mail's id"),
        pytest.param(received(message_id=MESSAGE_ID + "0"), None, id="longer id"),
        pytest.param(received(peer="fe80::1%eth0"), None, id="zone id"),
        pytest.param(received(peer="192.0.2.045"), None, id="leading zero"),
        pytest.param(received(peer="0xc0.0.2.45"), None, id="hex"),
        pytest.param(received(peer="3221226029"), None, id="decimal"),
        pytest.param(received(peer="unknown"), None, id="no address, and no other is taken"),
        pytest.param(
            ("Received", FORGED.replace("amazonaws.com", "amazonaws.com.x.example")), None, id="host"
        ),
        pytest.param(("Received", "by inbound-smtp.us-east-1.amazonaws.com"), None, id="no id"),
        pytest.param(
            ("Received", f"by inbound-smtp.us-east-1.amazonaws.com with SMTP id {MESSAGE_ID}"),
            None,
            id="no bracket",
        ),
        pytest.param(("X-Received", FORGED), None, id="no Received field"),
    ],
)
def test_the_connecting_ip_is_ses_word(first: tuple[str, str], expected: str | None) -> None:
    mail = inbound(ses=block(first=first))
    assert connecting_ip(mail) == (ip_address(expected) if expected else None)


def test_a_received_field_below_the_first_is_the_senders() -> None:
    below = inbound(("Received", FORGED), ses=block(first=received(message_id="0" * 40)))
    assert connecting_ip(below) is None


@pytest.mark.parametrize(
    ("dkim", "expected"),
    [
        pytest.param(["pass header.i=@example.com"], ["example.com"], id="one"),
        pytest.param(["pass header.i=bob@mail.Example.com"], ["mail.example.com"], id="with a local part"),
        pytest.param(["pass header.d=example.com"], ["example.com"], id="by header.d"),
        pytest.param(["pass header.i=@example.com header.d=example.com"], ["example.com"], id="both"),
        pytest.param(
            ["pass header.i=@a.example", "fail header.i=@b.example", "pass header.i=@c.example"],
            ["a.example", "c.example"],
            id="those that pass",
        ),
        pytest.param(
            ["pass (2048-bit key; x) header.i=@example.com"], ["example.com"], id="comment with a semicolon"
        ),
        pytest.param(["none"], [], id="none"),
        pytest.param(["pass"], [], id="no domain named"),
        pytest.param(["passing header.i=@example.com"], [], id="another word"),
        pytest.param(
            ["pass header.i=@evil.example header.i=@example.com"], [], id="two domains: none is believed"
        ),
        pytest.param(
            ['pass header.i="a header.i=@example.com b"@evil.example'], ["evil.example"], id="quoted i="
        ),
        pytest.param(["fail (dkim=pass header.i=@example.com)"], [], id="in a comment"),
        pytest.param(["pass header.i=x@example.com @evil.example"], [], id="a space in i="),
        pytest.param(
            ["pass header.i=; x@evil.example", "pass header.i=@example.com"], [], id="a semicolon in i="
        ),
        pytest.param(["pass header.i=@example.com; spf=pass"], [], id="spf twice, and late"),
        pytest.param(["pass header.i=@example.com; arc=pass"], [], id="a result that SES does not give"),
        pytest.param(["pass header.i=@localhost"], [], id="no domain"),
        pytest.param(["pass header.i=@example.com ("], [], id="comment that does not end"),
        pytest.param(["pass header.i=@example.com )"], [], id="comment that does not begin"),
        pytest.param(['pass header.i=@example.com "'], [], id="quote that does not end"),
    ],
)
def test_dkim_domains_are_those_that_ses_verified(dkim: list[str], expected: list[str]) -> None:
    assert expected == list(dkim_domains(inbound(ses=block(results(*dkim)))))


_OURS = results("pass header.i=@example.com")
_NONE = results("none")
_FORGED = ("Authentication-Results", "amazonses.com; dkim=pass header.i=@example.com;")


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(inbound(_FORGED, ses=block(_NONE)), id="the sender's own, below the block"),
        pytest.param(inbound(_FORGED, ses=block()), id="the sender's own, where SES put none"),
        pytest.param(inbound(ses=block(_NONE, _FORGED)), id="a second in the block"),
        pytest.param(inbound(ses=[_FORGED, *block(_NONE)]), id="above SES's Received field"),
        pytest.param(inbound(_FORGED, ses=[]), id="no block at all"),
        pytest.param(
            inbound(ses=block(_OURS, first=received(message_id="0" * 40))), id="another mail's block"
        ),
        pytest.param(
            inbound(ses=block(("Authentication-Results", "evil.example; dkim=pass header.i=@example.com;"))),
            id="another authserv-id",
        ),
        pytest.param(inbound(ses=block(("Authentication-Results", ""))), id="an empty field"),
        pytest.param(
            inbound(
                ses=block(
                    results("none", helo="x;dkim=pass header.i=@example.com"),
                    first=received(helo="x;dkim=pass header.i=@example.com"),
                )
            ),
            id="a result in the HELO name",
        ),
        pytest.param(
            inbound(
                ses=block(
                    results(
                        "none", helo=f"mail.example.com (x [{PEER}]) x; dkim=pass header.i=@example.com;"
                    ),
                    first=received(helo=f"mail.example.com (x [{PEER}]) x; dkim=pass header.i=@example.com;"),
                )
            ),
            id="a result behind what looks like a whole HELO name",
        ),
        pytest.param(
            inbound(
                ses=block(results("none", envelope_from="x;dkim=pass header.i=@example.com;@evil.example")),
                envelope_from="x;dkim=pass header.i=@example.com;@evil.example",
            ),
            id="a result in the envelope sender",
        ),
    ],
)
def test_a_result_that_ses_did_not_write_is_not_believed(mail: Any) -> None:
    assert dkim_domains(mail) == ()


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        pytest.param("@evil.example", ["evil.example"], id="domain"),
        pytest.param("eve+x@evil.example", ["evil.example"], id="plain local part"),
        pytest.param(
            "x=3B=20dkim=3Dpass=20header.i=3D@evil.example", [], id="quoted-printable: it could be decoded"
        ),
        pytest.param('"x; y"@evil.example', [], id="quoted"),
    ],
)
def test_results_are_believed_only_beside_plain_signatures(agent: str, expected: list[str]) -> None:
    signature = ("DKIM-Signature", f"v=1; a=rsa-sha256; d=evil.example;\ti={agent} ; s=x; b=x")
    mail = inbound(signature, ses=block(results("pass header.i=@evil.example")))
    assert expected == list(dkim_domains(mail))


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        pytest.param("other.example", ["evil.example"], id="plain"),
        pytest.param("b\xfccher.example", ["evil.example"], id="U-label"),
        pytest.param(")", [], id="it could end a comment"),
        pytest.param('x".evil.example', [], id="it could end a quoted string"),
        pytest.param("x header.i=@example.com", [], id="it could be two words"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_results_are_believed_only_beside_signatures_of_plain_domains(
    domain: str, expected: list[str]
) -> None:
    signature = ("DKIM-Signature", f"v=1; a=rsa-sha256; d={domain} ; s=x; b=x")
    mail = inbound(signature, ses=block(results("pass header.i=@evil.example")))
    assert expected == list(dkim_domains(mail))


def test_a_result_in_the_domain_of_an_spf_record_is_not_believed() -> None:
    """An SPF record can redirect to a name with any text: SES repeats it in a comment (RFC 7208 7.3)."""
    name, value = results("pass header.i=@evil.example")
    for forged in (
        value.replace(
            "domain of example.com", "domain of a); dkim=pass header.i=@example.com; (.evil.example"
        ),
        value.replace(
            "domain of example.com",
            f"domain of a) client-ip={PEER}; helo=x; dkim=pass header.i=@example.com; (",
        ),
    ):
        assert dkim_domains(inbound(ses=block((name, forged)))) == ()


def test_a_bounce_may_have_verified_signatures() -> None:
    assert dkim_domains(inbound(ses=block(_OURS), envelope_from="")) == ("example.com",)


@given(st.text(max_size=80))
def test_no_helo_name_gives_another_connecting_ip(helo: str) -> None:
    assert connecting_ip(inbound(ses=block(first=received(helo=helo)))) == ip_address(PEER)


_WORDS_OF_RESULTS = [
    *'();" @.=\\',
    *("dkim=pass", "header.i=@example.com", "header.d=example.com", "header.x=", "example.com", "x"),
    *("client-ip=1", "envelope-from=a", "helo=b", "dmarc=pass", "spf=pass"),
]
_HOSTILE = st.lists(st.sampled_from(_WORDS_OF_RESULTS), max_size=8).map("".join)
# A tag of a signature ends at its semicolon. Eve's server has keys only for names below her domain.
_EVES_DOMAIN = _HOSTILE.map(lambda text: f"{text}.evil.example".replace(";", ""))
_NO_DOMAIN = _HOSTILE.map(lambda text: text.replace(";", "") or "x")


@settings(max_examples=1000)
@given(_HOSTILE, st.lists(_EVES_DOMAIN, min_size=1, max_size=2), st.lists(_NO_DOMAIN, max_size=2))
def test_no_text_that_ses_repeats_makes_a_domain_of_it(
    spf: str, valid: list[str], invalid: list[str]
) -> None:
    """Eve chooses what her SPF record redirects to, and the d= of her signatures, valid or not."""
    said = [f"pass header.i=@{domain}" for domain in valid] + [
        f"permerror header.i=@{domain}" for domain in invalid
    ]
    name, value = results(*said)
    forged = value.replace("domain of example.com", f"domain of {spf}")
    signatures = [("DKIM-Signature", f"v=1; d={domain}; b=x") for domain in valid + invalid]
    assert "example.com" not in dkim_domains(inbound(*signatures, ses=block((name, forged))))


@given(st.text(alphabet='dkim=pash er.i@xcol;()[]" \\', max_size=60))
def test_no_helo_name_or_envelope_sender_adds_a_dkim_domain(text: str) -> None:
    forged = f"{text};dkim=pass header.i=@example.com;"
    for mail in (
        inbound(ses=block(results("none", helo=forged), first=received(helo=forged))),
        inbound(ses=block(results("none", envelope_from=forged)), envelope_from=forged),
    ):
        assert dkim_domains(mail) == ()
