"""The fuzz targets: one per parser, with the properties that must hold for any input.

A target accepts any bytes. It returns if all is well, even for bytes that it does not use; an exception is a
finding. The targets do not need the fuzzer: test_corpus.py calls them too.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from ipaddress import ip_address
from typing import Final

from ops.mbox import from_line_time, split_mbox
from quarantine.acting.rules import Action
from quarantine.asking.commands import read_commands
from quarantine.asking.event import InboundMail, MalformedEvent, parse_event, with_raw_header
from quarantine.asking.machines import machine_sign
from quarantine.asking.replays import Stale, freshness
from quarantine.asking.replying import read_reply_context
from quarantine.asking.trace import connecting_ip, dkim_domains
from quarantine.feedback.report import read_delivery_report
from quarantine.holding.contract import PREFIX
from quarantine.holding.filters.family import Family
from quarantine.holding.filters.reading import FIELDS, read_all
from quarantine.holding.judging import QuarantinedMail, RejectedObject, StoredMail, judge
from quarantine.holding.notification import MalformedNotification, parse_notification
from quarantine.holding.recipients import NoRecipient, UnreadableRecipient, parse_recipients
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.charsets import decoded
from quarantine.mail.dates import parse_time
from quarantine.mail.lenient import SHOWN_FIELDS, field_sender, header_fields, parse_mail, parse_sender
from quarantine.mail.links import defanged
from quarantine.mail.strict import MalformedHeader, malformed_field, parse_from
from quarantine.mail.text import clean_text, wrapped_held
from quarantine.previewing.bodies import LONGEST
from quarantine.previewing.preview import Preview, read_preview
from quarantine.previewing.structure import MOST_PARTS, CannotBeShown
from quarantine.release.deliverable import ReleaseTrace, deliverable
from quarantine.release.pointer import MalformedPointer, MalformedResult, Pointer, Result
from quarantine.release.wire import UnsafeMail, wire_mail
from quarantine.stores.quarantine import held_row
from tests.mails import MESSAGE_ID, PEER, block, inbound, received, results

TRIGGER: Final = "manual-report-request"
REQUESTER: Final = Address.parse("bob@example.com")
REPORT_SENDER: Final = Address.parse("quarantine@reports.example.com")
EVE: Final = "evil.example"  # the domain of the delivering server, and of the signature that SES verified
NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_MOST_KEY_BYTES = 1024  # of a sort key of DynamoDB
_MOST_ITEM_BYTES = 400 * 1024  # of an item of DynamoDB


def event(data: bytes) -> None:
    """An event in JSON: a mail that can be stored and logged, or MalformedEvent."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # Lambda reads the JSON before we do
        return
    try:
        mail = parse_event(value)
    except MalformedEvent as e:
        str(e).encode()  # it is logged
        return
    _is_readable(mail)


def trace(data: bytes) -> None:
    """A sender's text changes neither the connecting IP nor the domains of the signatures that SES verified.

    data: a line for each text that SES repeats in its own fields (the HELO name, the envelope sender, the
    local part of a signer, the labels below Eve's domain in a valid signature, the domain of an invalid one,
    the domain of an SPF record), then the fields of the mail from the sender.
    """
    if MESSAGE_ID.encode() in data:  # the anchor: SES creates the id after the sender sent the mail
        return
    repeated, own = _told(data)
    helo, envelope_from, signer, below, invalid, spf = repeated
    domain = f"{below}.{EVE}" if below else EVE
    said = [f"pass header.i={signer}@{EVE}", f"pass header.i=@{domain}"]
    signatures = [f"v=1; d={EVE}; i={_quoted(signer)}@{EVE}; s=x; b=x", f"v=1; d={domain}; s=x; b=x"]
    if invalid:
        said.append(f"permerror header.i=@{invalid}")
        signatures.append(f"v=1; d={invalid}; s=x; b=x")
    name, value = results(*said, helo=helo, envelope_from=envelope_from)
    ses = block((name, value.replace("domain of example.com", f"domain of {spf}")), first=received(helo=helo))
    signed = [("DKIM-Signature", each) for each in signatures]
    fields = [line.decode("utf-8", "replace").partition(":") for line in own]
    as_event = inbound(
        *signed, *((name, value) for name, _, value in fields), ses=ses, envelope_from=envelope_from
    )
    _names_only_eve(as_event)
    mail = b"\r\n".join(own)
    top = "".join(f"{name}: {value}\r\n" for name, value in [*ses, *signed])
    with suppress(MalformedHeader):
        _names_only_eve(with_raw_header(as_event, top.encode() + mail + b"\r\n\r\n"))


_REPEATED = 6  # texts from the sender that SES repeats


def _told(data: bytes) -> tuple[list[str], list[bytes]]:
    """Return the texts that SES repeats, in a form that it can receive, and the lines of the mail."""
    lines = [*data.replace(b"\r", b"").split(b"\n"), *[b""] * _REPEATED]
    texts = [line.replace(b"\x00", b"").decode("utf-8", "replace") for line in lines[:_REPEATED]]
    # A tag of a signature ends at its semicolon.
    below, invalid = (text.replace(";", "") for text in texts[3:5])
    return [*texts[:3], below, invalid, texts[5]], lines[_REPEATED:]


def addresses(data: bytes) -> None:
    """A text as an address and as a From field: one spelling, or InvalidAddress."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (Address.parse, parse_from):
        with suppress(InvalidAddress):
            address = parse(text)
            assert parse(str(address)) == address
            assert str(address).isascii()
            assert str(address) == str(address).lower()
            assert address.local in text.lower()  # found in the mail, not derived from it
    for found in read_commands([text, f"{text}@reports.example.com"], TRIGGER):
        address = found.written_to
        assert address.local.startswith((TRIGGER, *Action))
        assert Address.parse(str(address)) == address


def header(data: bytes) -> None:
    """The start of a held mail: rows that the table accepts, or a rejection; and S3's notification."""
    fields = header_fields(data, SHOWN_FIELDS | FIELDS)
    parse_mail(fields)
    with suppress(NoRecipient, UnreadableRecipient):
        parse_recipients(fields.put_on, [b"x-envelope-to", b"to"])
    read_all(fields, frozenset(Family))
    text = data.decode("utf-8", "surrogateescape")
    hostile = {"recipients": text, "reason": text, "score": text, "sender": text}
    for metadata, unread in (({"recipients": "bob@example.com"}, 0), (hostile, 1)):
        mail = StoredMail(f"{PREFIX}1", metadata, data, len(data) + unread, NOW, "etag")
        _has_a_place(judge(mail, frozenset(Family)))
    with suppress(MalformedNotification):
        assert all(each.key.startswith(PREFIX) for each in parse_notification(text))


def intake(data: bytes) -> None:
    """A raw mail whose header SES cut off: no From field is missed that another parser would find."""
    try:
        mail = with_raw_header(inbound(), data)
    except MalformedHeader:
        return
    _is_readable(mail)
    if malformed_field(mail.headers) is None:
        others = BytesHeaderParser().parsebytes(data).get_all("From", [])
        assert len(others) <= len(mail.values("From")), others


def shown(data: bytes) -> None:
    """A field of a held mail as a report shows it: an address is one, nothing is a link, no line imitates.

    data: the value of a From field, or of any other that is shown.
    """
    field = field_sender(data)
    field.encode()  # it is stored
    sender = parse_sender(field)
    if sender.address:
        assert _is_no_invention(sender.address, field), sender.address
    for text in (sender.name, clean_text(decoded(data)), clean_text(field)):
        assert clean_text(text) == text
        assert text.isprintable()
        safe = defanged(text)
        assert "@" not in safe
        assert safe.count("://") == safe.count("[://")
        _imitates_nothing(safe)


def release(data: bytes) -> None:
    """A held mail as it is delivered: its body as it was, no new line, and nothing more to remove."""
    trace = ReleaseTrace(MESSAGE_ID, NOW)
    for families in (frozenset[Family](), frozenset(Family)):
        once = deliverable(data, families, trace)
        on_top = next(field for end in (b"\r\n", b"\n") if once.startswith(field := trace.field(end)))
        kept = once.removeprefix(on_top)
        assert deliverable(once, families, trace) == on_top + once
        end = _BODY.search(data)
        assert end is None or once.endswith(data[end.start() + 1 :])
        if not _SPACE_FIRST.match(kept):  # else there is an empty line more
            before = iter(_UNFOLDED.split(data.removeprefix(b"\xef\xbb\xbf")))
            assert all(each in before for each in _UNFOLDED.split(kept) if each)


_BODY = re.compile(rb"\n\r?\n")
_SPACE_FIRST = re.compile(rb"\r?\n[ \t]")
_UNFOLDED = re.compile(rb"\n(?![ \t])")


def preview(data: bytes) -> None:
    """A held mail as a preview: at most so much, and nothing in it is a link or cannot be seen."""
    found = read_preview(data)
    if isinstance(found, CannotBeShown):
        assert found is not CannotBeShown.UNREADABLE
        return
    assert sum(len(line.encode()) + 1 for line in found.text.lines) <= LONGEST
    assert len(found.attachments) <= MOST_PARTS
    for text in _shown_in(found):
        assert text.isprintable()
        assert "@" not in text
        assert text.count("://") == text.count("[://")
        assert len(text) <= _MOST_SHOWN


_MOST_SHOWN = 6_000  # characters of a line: a thousand, each of which may be broken


def _shown_in(found: Preview) -> Iterator[str]:
    yield from (found.to, found.cc, *found.text.lines)
    yield from (text for each in found.attachments for text in (each.name, each.media_type))
    for headline in (found.headline, *(each.message for each in found.attachments)):
        if headline is not None:
            yield from (headline.sender.name, headline.sender.address, headline.subject)


def report(data: bytes) -> None:
    """A delivery report, and what agents and act tell each other: a value or a named error; text is clean."""
    found = read_delivery_report(data)
    assert found is None or found.detail.isprintable()
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(MalformedPointer):
        pointer = Pointer.from_json(text)
        assert Pointer.from_json(pointer.to_json()) == pointer
    with contextlib.suppress(MalformedResult):
        result = Result.from_json(text)
        assert Result.from_json(result.to_json()) == result
        assert result.text.isprintable()
    with contextlib.suppress(UnsafeMail):
        lines = wire_mail(data).content
        assert lines.count(b"\r\n") == lines.count(b"\n") == lines.count(b"\r")


def mbox(data: bytes) -> None:
    """A file to import: mails in order that do not overlap, within the file, and times of a time zone."""
    end = 0
    found = split_mbox(data)
    for part in found.parts:
        assert end <= part.begin <= part.start <= part.end <= len(data), part
        end = part.end
        time = from_line_time(data[part.begin : part.start])
        assert time is None or time.tzinfo is not None
    for doubt in found.doubts:
        assert doubt.why.isprintable()


def date(data: bytes) -> None:
    """A Date or Received field: a time in UTC, or None."""
    time = parse_time(data)
    assert time is None or time.tzinfo is UTC


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (event, trace, addresses, header, release, report, preview, intake, shown, mbox, date)
}


def _is_readable(mail: InboundMail) -> None:
    """Reading any mail in intake never raises, and gives text that UTF-8 can encode."""
    said = [mail.envelope_from, *mail.recipients, *(f"{each.name}{each.value}" for each in mail.headers)]
    "".join(
        [*said, malformed_field(mail.headers) or "", str(connecting_ip(mail)), *dkim_domains(mail)]
    ).encode()
    commands = read_commands(mail.recipients, TRIGGER)
    assert mail.received_at.tzinfo is UTC
    (machine_sign(mail, REQUESTER, TRIGGER, REPORT_SENDER) or "").encode()
    for command in commands:
        fresh = freshness(mail, REQUESTER, command, forwarded=False)
        (fresh.detail if isinstance(fresh, Stale) else fresh.key).encode()
    context = read_reply_context(mail)
    assert " ".join((context.message_id or "", *context.references)).isascii()


def _is_no_invention(address: str, field: str) -> bool:
    """Whether a shown address stands in the field, its domain perhaps in A-labels."""
    local, _, domain = address.rpartition("@")
    assert domain.isascii()
    return local in clean_text(field) or local.casefold() in clean_text(field).casefold()


_COLUMNS, _INDENT = 40, 4


def _imitates_nothing(text: str) -> None:
    first, *others = wrapped_held(text, _COLUMNS, _INDENT).split("\n")
    assert all(line.startswith(" " * _INDENT + "... ") for line in others), others
    assert "".join([first, *(line[_INDENT + 4 :] for line in others)]).replace(" ", "") == text.replace(
        " ", ""
    )


def _quoted(text: str) -> str:
    """Return a text in dkim-quoted-printable (RFC 6376 2.11)."""
    return "".join(
        chr(byte) if 0x21 <= byte <= 0x7E and byte not in b";=" else f"={byte:02X}" for byte in text.encode()
    )


def _names_only_eve(mail: InboundMail) -> None:
    assert connecting_ip(mail) == ip_address(PEER)
    assert all(domain == EVE or domain.endswith(f".{EVE}") for domain in dkim_domains(mail))


def _has_a_place(judged: QuarantinedMail | RejectedObject) -> None:
    if isinstance(judged, RejectedObject):
        assert judged.detail.encode("ascii", "backslashreplace").isascii()
        assert judged.detail.isprintable()  # an SQS attribute must not contain control characters
        return
    for recipient in judged.recipients:
        item = held_row(
            *(
                recipient,
                judged.shown,
                judged.shown.message_id,
                judged.received_at,
                judged.reason,
                judged.received_at,
                judged.received_at,
            ),
            score=judged.score,
            size=judged.size,
            raw_key=judged.raw_key,
        )
        values = {name: next(iter(value.values())).encode() for name, value in item.items()}
        assert all(values[name] for name in ("recipient", "entry"))  # DynamoDB refuses an empty key
        assert len(values["entry"]) <= _MOST_KEY_BYTES
        assert sum(len(name) + len(value) for name, value in values.items()) <= _MOST_ITEM_BYTES
