"""The time to read what a stranger wrote grows with its length, and not with the square of it.

Each parser reads up to a megabyte of each text that is known to slow some parser down; `make test` stops at a
seventh of that, `make attack` does not. The steps of a regular expression cannot be counted from outside, so
these tests compare CPU times of one thread: sixteen times the text may take 64 times as long; a quadratic
parser takes 256 times as long. Caches that are outgrown, pages touched for the first time and a busy machine
stay below that, since the least of several measurements counts.
"""

import gc
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

import pytest

from ops.mbox import from_line_time, split_mbox
from quarantine.asking.admission import evidence, screen
from quarantine.asking.commands import ReportCommand, read_commands
from quarantine.asking.event import InboundMail, parse_event, with_raw_header
from quarantine.asking.machines import machine_sign
from quarantine.asking.options import read_options
from quarantine.asking.replays import freshness
from quarantine.asking.replying import read_reply_context
from quarantine.asking.trace import connecting_ip, dkim_domains, dmarc_domains
from quarantine.asking.views import Cursor, View, words_of
from quarantine.digests.schedule import Schedule
from quarantine.feedback.report import read_delivery_report
from quarantine.held import HeldMessage, HoldReason
from quarantine.holding.filters.family import Family
from quarantine.holding.filters.reading import FIELDS
from quarantine.holding.judging import StoredMail, judge
from quarantine.holding.notification import MalformedNotification, parse_notification
from quarantine.holding.recipients import NoRecipient, read_recipients
from quarantine.jobs import MalformedJob, from_json
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.charsets import decoded
from quarantine.mail.dates import parse_time
from quarantine.mail.domains import InvalidDomain, normalise_domain
from quarantine.mail.lenient import (
    SHOWN_FIELDS,
    header_fields,
    parse_mail,
    parse_sender,
    usable_id,
    without_last_field,
)
from quarantine.mail.links import defanged
from quarantine.mail.strict import MalformedHeader, malformed_field, parse_from, parse_header, unfolded
from quarantine.mail.text import clean_text, wrapped, wrapped_held
from quarantine.previewing.contentfields import read_content_field
from quarantine.previewing.preview import read_preview
from quarantine.previewing.reduction import reduce_html
from quarantine.release.deliverable import ReleaseTrace, deliverable
from quarantine.release.pointer import MalformedPointer, MalformedResult, Pointer, Result
from quarantine.release.wire import UnsafeMail, wire_mail
from tests.mails import MESSAGE_ID, RECEIVED_AT, block, inbound, received, results
from tests.mails import TRIGGER as TO

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REPORT_SENDER: Final = Address.parse("quarantine@reports.example.com")
TRIGGER: Final = "manual-report-request"

type Work = Callable[[], object]


def repeated(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    return lambda length: before + unit * (length // len(unit)) + after


def nested(opening: str, closing: str) -> Callable[[int], str]:
    return lambda length: opening * (length // 2) + closing * (length // 2)


GENERATORS: Final[Mapping[str, Callable[[int], str]]] = {
    **{
        ascii(unit): repeated(unit)
        for unit in (
            *("(", ")", "()", "<", ">", "<>", "<,", '"', '""', "\\", '\\"', '"a\\', "[", "]", "[1]"),
            *(",", ";", ":", "@", ".", "-", "+", "=", "/", "_", "\t", " ", "  a", "\x00", "\x1b"),
            *(
                "a",
                "A",
                "0",
                "1 ",
                "a ",
                "a.",
                "a@",
                "@.",
                "a@b.example,",
                "<a@b.example> ",
                "a,",
                "a:",
                "a;",
            ),
            *("=?", "?=", "=?=", "=?a", "=?a?q?", "=?a?b?b", "=?utf-8?q?=", "=?utf-8?q?a?= ", "=?x?q?=E2?="),
            *("\r\n", "\n", "\r", "\n ", "\r\n ", "\r\n\t\r\n", "a:\r\n", "a: b\r\n", "\n\n", ": \n x"),
            *("From ", "\nFrom ", "\nFrom a@b Mon Nov 23 12:00:00 2026\n", "From - ", "\n>From "),
            *("\nFrom a 0:00 2026\nA: b\n\n", "0:00 2026 ", "\n\nFrom \nTo: a\nContent-Length: 9\n"),
            *("\x01\x01\x01\x01\n", "\nContent-Length: 9\n\n", "\rFrom \rTo: a\r\r"),
            *(
                "é",
                "\u0301",
                "a\u0301",
                "\u202e",
                "\U0001f600",
                "\ufdfa",
                "\u3000",
                "。",
                "\uff20",
                "ß",
                "xn--",
            ),
            *("dkim=pass ", "dkim=pass;", 'a"b"', "header.from=a ", "score=", "SCL:1;", ";A(", "www."),
            *("{", "[[", '{"a":', "\\u", "Mon, ", "23 Nov ", "+0100 ", "GMT", "from ", "by inbound-smtp."),
            *(
                "--a\n",
                "\n--a",
                "--a--\n",
                "\n--b\n\n",
                ";a=",
                ";a*0=",
                "<p>",
                "<a b=",
                "<!--",
                "&#1",
                "&#",
                "<a href=//a>",
            ),
            *("<i hidden>", "<script>", "</", "<pre>\n", "<td>", "=\n"),
            *("Content-Type: message/delivery-status\n", "Action: failed\n"),
            *("d=a; ", "i=@", "Received: a\r\n", "DKIM-Signature: a\r\n", "From: a@b\r\n"),
        )
    },
    "nested comments": nested("(", ")"),
    "nested brackets": nested("<", ">"),
    "an open quotation mark": repeated("a ", before='"'),
    "escapes after a quotation mark": repeated('\\"', before='"'),
    "an open comment": repeated("a) ", before="("),
    "an open bracket": repeated("a, ", before="<"),
    "an encoded word that does not end": repeated("a", before="=?utf-8?q?"),
    "an encoded word of base64": repeated("QUJD", before="=?utf-8?b?", after="?="),
    "an encoded word of UTF-7": repeated("+ACI-", before="=?utf-7?q?", after="?="),
    "spaces before the end": repeated(" ", before="a", after="b"),
    "an address that does not end": repeated("a", before="a@", after="@"),
    "a name before an address": repeated("a ", after="<a@b.example>"),
    "names with quotation marks": repeated('"a" ', after="<a@b.example>"),
    "lines of a mail program": repeated("From 0:00 " + "0:00 " * 190 + "2026\n", before="a\n\n"),
    "lines of spaces": repeated("From " + " " * 990 + "\nTo: a\n\n"),
    "a hop": repeated("a ", before="from a (a [1]) by inbound-smtp.a.amazonaws.com with SMTP id "),
}


# --- What is read ---


def of_text(parse: Callable[[str], object], *refusals: type[Exception]) -> Callable[[str], Work]:
    """Return what makes the work of reading a text, which the parser may refuse."""

    def of(text: str) -> Work:
        def work() -> None:
            with suppress(*refusals):
                parse(text)

        return work

    return of


def of_bytes(parse: Callable[[bytes], object], *refusals: type[Exception]) -> Callable[[str], Work]:
    def of(text: str) -> Work:
        data = text.encode()

        def work() -> None:
            with suppress(*refusals):
                parse(data)

        return work

    return of


def ask(mail: InboundMail) -> None:
    """Read all that intake reads of a mail."""
    read_commands(mail.recipients, TRIGGER)
    malformed_field(mail.headers)
    screen(mail, TRIGGER, REPORT_SENDER)
    evidence(mail)
    dmarc_domains(mail)
    read_reply_context(mail)


ASKING_FIELDS: Final = (
    *("From", "Date", "Message-ID", "References", "In-Reply-To", "DKIM-Signature"),
    *("Auto-Submitted", "Precedence", "X-Auto-Response-Suppress", "Content-Type", "Content-Class"),
)


def asking_fields(text: str) -> Work:
    """Each field that intake reads has an equal part of the text."""
    part = text[: len(text) // len(ASKING_FIELDS)]
    mail = inbound(*((name, part) for name in ASKING_FIELDS))

    def work() -> None:
        machine_sign(mail, None, TRIGGER, REPORT_SENDER)
        ask(mail)

    return work


def many_keywords(text: str) -> Work:
    """As many fields as the text is long, each of a line."""
    value = f"no; {text[:990]}"
    mail = inbound(*[("Auto-Submitted", value)] * (len(text) // len(value)))
    return lambda: machine_sign(mail, None, TRIGGER, REPORT_SENDER)


def signed_mail(text: str) -> Work:
    """Each field of which a signature must show that it is fresh has an equal part of the text."""
    part = text[: len(text) // 4]
    at = format_datetime(RECEIVED_AT)
    mails = [
        inbound(("To", part), ("Cc", part), ("Date", at), ("Message-ID", "<a@b>"), ("DKIM-Signature", "d=a")),
        inbound(("To", TO), ("Date", part), ("Message-ID", "<a@b>")),
        inbound(
            ("To", TO), ("Date", at), ("Message-ID", part), ("DKIM-Signature", f"d=example.com; h={part}")
        ),
    ]
    command = ReportCommand(Address.parse(TO))

    def work() -> None:
        for mail in mails:
            freshness(mail, Address.parse("bob@example.com"), command, forwarded=False)

    return work


def results_of_ses(text: str) -> Work:
    mail = inbound(ses=block(("Authentication-Results", f"amazonses.com; {text[: len(text) // 4]}")))
    return lambda: (dkim_domains(mail), dmarc_domains(mail))


def hop_of_ses(text: str) -> Work:
    mail = inbound(ses=block(results(), first=received(helo=text[: len(text) // 4])))
    return lambda: (connecting_ip(mail), dkim_domains(mail))


def event_of_ses(text: str) -> Work:
    half = text[: len(text) // 2]
    headers = [{"name": "From", "value": half}, {"name": half, "value": "a"}]
    mail = {"messageId": MESSAGE_ID, "source": half, "timestamp": NOW.isoformat(), "headers": headers}
    receipt = {"recipients": [half], "spfVerdict": {"status": half}}
    event = {"Records": [{"eventSource": "aws:ses", "ses": {"mail": mail, "receipt": receipt}}]}
    return lambda: ask(parse_event(event))


def hold(start: bytes, **metadata: str) -> None:
    judge(StoredMail("held/1", metadata, start, len(start) + 1, NOW, "etag"), frozenset(Family))


HELD_FIELDS: Final = sorted(SHOWN_FIELDS | FIELDS)


def held_fields(text: str) -> Work:
    """Each field that hold reads has an equal part of the text."""
    value = text[: len(text) // len(HELD_FIELDS)].encode().replace(b"\n", b"\n ")
    data = b"".join(name + b": " + value + b"\n" for name in HELD_FIELDS) + b"\n"
    return lambda: hold(data)


def held_metadata(text: str) -> Work:
    return lambda: hold(b"", recipients=text, reason=text, score=text, sender=text)


TRACE: Final = ReleaseTrace("1", NOW)


def release(data: bytes) -> None:
    deliverable(data, frozenset(Family), TRACE)


def release_signed(text: str) -> Work:
    data = text.encode().replace(b"\n", b"\n ")
    return lambda: release(b"DKIM-Signature: b=a; bh=a; d=a; s=a; h=from:" + data + b"\nX-Spam: " + data)


def held_message(text: str) -> HeldMessage:
    return HeldMessage(Address.parse("bob@example.com"), "", RECEIVED_AT, text, text, HoldReason.SPAM, None)


MIXED: Final = b"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Transfer-Encoding: base64\n\n"
DEEP: Final = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(19))


def mbox(data: bytes) -> None:
    for begin, start, _ in split_mbox(data).parts:
        from_line_time(data[begin:start][:1000])


STATUS_PART: Final = b"Content-Type: message/delivery-status\n\n"
PARSERS: Final[Mapping[str, Callable[[str], Work]]] = {
    "an address": of_text(Address.parse, InvalidAddress),
    "a local part": of_text(lambda text: Address.parse(f"{text}@a.example"), InvalidAddress),
    "a domain": of_text(normalise_domain, InvalidDomain),
    "a From field": of_text(parse_from, InvalidAddress),
    "a display name": of_text(lambda text: parse_from(f"{text} <a@b.example>"), InvalidAddress),
    "a quoted display name": of_text(lambda text: parse_from(f'"{text}" <a@b.example>'), InvalidAddress),
    "a folded field": of_text(unfolded),
    "a strict header section": of_bytes(parse_header, MalformedHeader),
    "the fields of a request": asking_fields,
    "keywords with comments": many_keywords,
    "what a Subject asks for": of_text(lambda text: read_options(inbound(("Subject", text)))),
    "a Subject of prefixes": of_text(lambda text: read_options(inbound(("Subject", f"[a] Re: find {text}")))),
    "words to look for": of_text(lambda text: View(find=words_of(text)).shows(held_message(text))),
    "a place in a list": of_text(Cursor.parse, ValueError),
    "times of a schedule": of_text(lambda text: Schedule.parse([text], [text], text), ValueError),
    "the zone of a schedule": of_text(lambda text: Schedule.parse(["07:00"], ["mon"], text), ValueError),
    "a signed mail": signed_mail,
    "a raw request": of_bytes(lambda data: ask(with_raw_header(inbound(), data)), MalformedHeader),
    "an event of SES": event_of_ses,
    "results of SES": results_of_ses,
    "a hop of SES": hop_of_ses,
    "a job": of_text(from_json, MalformedJob),
    "a delivery report": of_bytes(read_delivery_report),
    "the fields of a delivery report": of_bytes(lambda data: read_delivery_report(STATUS_PART + data)),
    "a pointer": of_text(Pointer.from_json, MalformedPointer),
    "a result": of_text(Result.from_json, MalformedResult),
    "a mail on the wire": of_bytes(wire_mail, UnsafeMail),
    "an unstructured field": of_bytes(decoded),
    "a lenient header section": of_bytes(lambda data: parse_mail(header_fields(data, SHOWN_FIELDS | FIELDS))),
    "a cut header section": of_bytes(without_last_field),
    "a Message-ID": of_bytes(usable_id),
    "a date": of_bytes(parse_time),
    "a sender": of_text(parse_sender),
    "a text to clean": of_text(clean_text),
    "a text to defang": of_text(lambda text: defanged(text[: len(text) // 4])),
    "a text to wrap": of_text(lambda text: wrapped(text[: len(text) // 4], 72)),
    "a held text to wrap": of_text(lambda text: wrapped_held(text[: len(text) // 4], 72, 4)),
    "a notification of S3": of_text(parse_notification, MalformedNotification),
    "recipients": of_bytes(lambda data: read_recipients({b"a": data}, [b"a"]), NoRecipient),
    "a held mail": of_bytes(hold),
    "the fields of a held mail": held_fields,
    "the metadata of a held mail": held_metadata,
    "a mail to release": of_bytes(release),
    "marks to remove": of_bytes(lambda data: release(b"X-Spam: " + data.replace(b"\n", b"\nX-Spam: "))),
    "a signature of a mail to release": release_signed,
    "a preview": of_bytes(read_preview),
    "a preview of parts": of_bytes(lambda data: read_preview(MIXED + data)),
    "a preview of parts within parts": of_bytes(lambda data: read_preview(DEEP + data)),
    "a page": of_text(lambda text: sum(1 for _ in reduce_html(text))),
    "a structured field": of_bytes(lambda data: read_content_field(data).text(b"a")),
    "an mbox": of_bytes(lambda data: mbox(b"From a@b Mon Nov 23 12:00:00 2026\n" + data)),
    "a file that is no mbox": of_bytes(mbox),
    "a folder of MMDF": of_bytes(lambda data: mbox(b"\x01\x01\x01\x01\n" + data)),
}


# --- How long it takes ---

SIZES: Final = (576, 2304, 9216)  # the first becomes 9 KB: some fields may have 10 KB at most
LONG: Final = (36864, 65536)  # the last becomes a megabyte
TIMES: Final = 16  # as much text, compared with each size
MOST: Final = 1.5  # the power: 64 times as long for 16 times as much
FLOOR: Final = 0.02  # seconds of CPU: a quadratic parser needs minutes for a megabyte, not this
ATTEMPTS: Final = 5


def seconds(work: Work) -> float:
    """Return how much CPU this thread spends on some work."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def growth(of: Callable[[str], Work], generator: Callable[[int], str], sizes: Iterable[int]) -> float:
    """Return the power of the length with which the time grows where that is above MOST, else 0."""
    for size in sizes:
        long, short = of(generator(size * TIMES)), of(generator(size))
        took, before = seconds(long), seconds(short)
        for _ in range(ATTEMPTS):
            if took <= max(FLOOR, before * TIMES**MOST):
                break
            took, before = min(took, seconds(long)), min(before, seconds(short))
        else:
            return math.log(took / before, TIMES)  # the next size would take too long
    return 0.0


@pytest.fixture
def _no_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collections")
@pytest.mark.parametrize(
    "sizes", [pytest.param(SIZES, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.attack)]
)
@pytest.mark.parametrize("parser", PARSERS)
def test_no_text_takes_more_than_linear_time(parser: str, sizes: tuple[int, ...]) -> None:
    slow = {name: growth(PARSERS[parser], generator, sizes) for name, generator in GENERATORS.items()}
    assert {name: f"length to the power of {power:.1f}" for name, power in slow.items() if power} == {}


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(lambda text: re.search(r"<[^>]*,", text), id="a regular expression"),
        pytest.param(lambda text: [text[place:] for place in range(0, len(text), 4)], id="copies"),
    ],
)
def test_quadratic_time_is_noticed(slow: Callable[[str], object]) -> None:
    assert growth(of_text(slow), repeated("<"), SIZES[:2]) > MOST
