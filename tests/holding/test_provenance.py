"""What an administrator learns of who judged a mail, and whether its sender is proven."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.holding.filters.family import Family
from quarantine.holding.provenance import Provenance, provenance_of

RECEIVED = b"Received: from x.example by mx.example.com; Mon, 23 Nov 2026 11:59:00 +0000\r\n"
FROM = b"From: Bank <info@bank.example>\r\n"


def is_proven(results: bytes, sender: bytes = FROM, below: bytes = b"") -> bool:
    above = b"Authentication-Results: mx.example.com; " + results + b"\r\n" if results else b""
    return provenance_of(above + RECEIVED + below + sender + b"\r\nHello\r\n", Family).is_proven


@pytest.mark.parametrize(
    "results",
    [
        b"dmarc=pass header.from=bank.example",
        b"dmarc=pass (p=reject) header.from=mail.bank.example",
        b"spf=fail smtp.mailfrom=x@y.example; DMARC=PASS header.from=Bank.Example",
        b"dkim=pass header.d=bank.example; dkim=fail header.d=list.example",
    ],
)
def test_what_the_companys_server_wrote_proves_a_sender(results: bytes) -> None:
    assert is_proven(results)


@pytest.mark.parametrize(
    "results",
    [
        b"",
        b"none",
        b"dmarc=fail header.from=bank.example; dkim=pass header.d=bank.example",
        b"dmarc=pass header.from=evil.example",
        b"dmarc=pass",
        b"dmarc=pass header.from=bank.example header.from=evil.example",
        b"dmarc=pass header.from=bank.example; dmarc=fail header.from=bank.example",
        b"dkim=pass header.d=evil.example",
        b"dkim=pass header.d=bank..example",
        b"spf=pass smtp.mailfrom=info@bank.example",
        b'spf=pass smtp.mailfrom="; dmarc=pass header.from=bank.example"@evil.example',
        b"spf=fail (; dmarc=pass header.from=bank.example)",
        b"spf=fail (; dmarc=pass header.from=bank.example",
    ],
)
def test_nothing_else_does(results: bytes) -> None:
    assert not is_proven(results)


def test_what_stands_below_a_received_field_proves_nothing() -> None:
    results = b"Authentication-Results: mx.example.com; dmarc=pass header.from=bank.example\r\n"
    assert not is_proven(b"", below=results)
    assert not provenance_of(results + FROM + b"\r\n", Family).is_proven  # nobody received it


@pytest.mark.parametrize("sender", [b"", FROM * 2, b"From: nobody\r\n"])
def test_a_mail_without_one_sender_proves_none(sender: bytes) -> None:
    assert not is_proven(b"dmarc=pass header.from=bank.example", sender)


def test_the_filter_that_gave_the_reason_is_named() -> None:
    mail = b"X-Spam-Flag: YES\r\nX-Spam-Score: 8.1\r\n" + RECEIVED + FROM + b"\r\n"
    found = provenance_of(mail, Family)
    assert Family.SPAMASSASSIN in found.filters
    assert found.score == Decimal("8.1")
    assert provenance_of(mail, ()) == Provenance((), None, is_proven=False)


@given(st.binary(max_size=300))
def test_any_bytes_are_read(raw: bytes) -> None:
    provenance_of(raw, Family)
    provenance_of(b"Authentication-Results: " + raw + b"\r\n" + RECEIVED + FROM, Family)
