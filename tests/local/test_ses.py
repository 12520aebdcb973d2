"""local/ses.py makes events that intake reads: intake finds the same facts that were put in."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from local.ses import GRAY, Delivery, new_message_id, receive
from quarantine.asking.event import InboundMail, Verdict, parse_event, with_raw_header
from quarantine.asking.trace import connecting_ip, dkim_domains
from tests.local.serving import TRIGGER

NOW = datetime(2026, 11, 23, 11, 59, 58, 214000, tzinfo=UTC)
MAIL = b"From: Bob Builder <bob@example.com>\r\nTo: x@y.example\r\n\r\nThe body.\r\n"
DELIVERY = Delivery("192.0.2.10", "mail.example.com", "bob@example.com", (TRIGGER,), MAIL)
SIGNED = (
    b"DKIM-Signature: v=1; a=rsa-sha256;\r\n d=Mail.Example.com; s=s1;\r\n b=abc\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; d=lists.example.net; s=s1; b=abc\r\n"
)


def parsed(delivery: Delivery, **verdicts: Verdict) -> InboundMail:
    return parse_event(receive(delivery, replace(GRAY, **verdicts), new_message_id(), NOW).event)


def test_what_was_said_is_in_the_event() -> None:
    mail = parsed(DELIVERY, spam=Verdict.PASS, virus=Verdict.FAIL, dmarc=Verdict.PASS)
    assert mail.recipients == (TRIGGER,)
    assert mail.envelope_from == "bob@example.com"
    assert mail.received_at == NOW
    assert mail.values("From") == ("Bob Builder <bob@example.com>",)
    assert mail.headers_truncated is False
    verdicts = replace(GRAY, spam=Verdict.PASS, virus=Verdict.FAIL, dmarc=Verdict.PASS)
    assert mail.verdicts == verdicts


def test_the_block_of_ses_is_on_top_in_its_order() -> None:
    names = [header.name for header in parsed(DELIVERY).headers]
    assert names == [
        "Return-Path",
        "Received",
        "X-SES-Spam-Verdict",
        "X-SES-Virus-Verdict",
        "Received-SPF",
        "Authentication-Results",
        "X-SES-RECEIPT",
        "X-SES-DKIM-SIGNATURE",
        "From",
        "To",
    ]


def test_message_ids_are_forty_letters_and_digits_and_never_the_same() -> None:
    ids = [new_message_id() for _ in range(50)]
    assert all(re.fullmatch(r"[a-z0-9]{40}", id_) for id_ in ids)
    assert len(set(ids)) == 50


@pytest.mark.parametrize("peer", ["192.0.2.10", "127.0.0.2", "2001:db8:25::a1", "::1"])
@pytest.mark.parametrize("helo", ["mail.example.com", "[198.51.100.7]", "[IPv6:2001:db8::7]", "localhost"])
def test_the_connecting_ip_is_the_peer(peer: str, helo: str) -> None:
    mail = parsed(replace(DELIVERY, peer=peer, helo=helo))
    assert connecting_ip(mail) == ip_address(peer)


@pytest.mark.parametrize(
    ("data", "verdict", "domains"),
    [
        (MAIL, Verdict.PASS, ("example.com",)),
        (MAIL, Verdict.GRAY, ()),
        (MAIL, Verdict.FAIL, ()),
        (SIGNED + MAIL, Verdict.PASS, ("mail.example.com", "lists.example.net")),
        (SIGNED + MAIL, Verdict.FAIL, ()),
        (b"From: nobody\r\n\r\n", Verdict.PASS, ()),
    ],
    ids=["unsigned PASS", "unsigned GRAY", "unsigned FAIL", "signed PASS", "signed FAIL", "no From PASS"],
)
def test_the_domains_that_signed(data: bytes, verdict: Verdict, domains: tuple[str, ...]) -> None:
    assert dkim_domains(parsed(replace(DELIVERY, data=data), dkim=verdict)) == domains


def test_the_raw_mail_says_the_same_as_the_event() -> None:
    received = receive(replace(DELIVERY, data=SIGNED + MAIL), GRAY, new_message_id(), NOW)
    mail = parse_event(received.event)
    assert with_raw_header(mail, received.raw).headers == mail.headers
    assert received.raw.endswith(SIGNED + MAIL)


def test_an_event_has_about_ten_kilobytes_of_header() -> None:
    padding = b"".join(b"X-Padding: " + 900 * b"x" + b"\r\n" for _ in range(20))
    received = receive(replace(DELIVERY, data=padding + MAIL), GRAY, new_message_id(), NOW)
    mail = parse_event(received.event)
    assert mail.headers_truncated is True
    assert mail.values("From") == ()
    size = sum(len(header.name) + len(header.value) for header in mail.headers)
    assert 9 * 1024 < size <= 10 * 1024
    assert with_raw_header(mail, received.raw).values("From") == ("Bob Builder <bob@example.com>",)


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", b"no header at all", b"From: x", "Subject: Müller\r\n\r\n".encode("latin-1")],
    ids=["empty", "an empty line", "no field", "no end", "8 bits"],
)
@pytest.mark.parametrize("envelope_from", ["", "bob@example.com", "nobody", "bob@b\u00fccher.example"])
def test_any_mail_becomes_an_event(data: bytes, envelope_from: str) -> None:
    mail = parsed(replace(DELIVERY, data=data, envelope_from=envelope_from))
    assert mail.envelope_from == envelope_from
    assert connecting_ip(mail) == ip_address("192.0.2.10")
