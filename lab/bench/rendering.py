"""Time and size of reports with long subjects."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.policy import SMTP

from rich.table import Table

from lab.bench.figures import Spread, interleaved
from lab.bench.targets import Measured, Reached
from lab.bench.workload import request_of
from quarantine.held import HeldMessage, HoldReason, MailboxListing
from quarantine.mail.addresses import Address
from quarantine.reporting.message import render
from quarantine.reporting.summary import summarise
from quarantine.settings import ReportSettings

GMAIL_CUTS_AT = 102 * 1024
_MOST_ROWS = 1000  # the maximum of MaxRows in template.yaml
_ROUNDS = 7
_SUBJECTS = {
    "ASCII": ("Your parcel could not be delivered. " * 6)[:200],
    "4-byte": "".join(chr(0x10400 + number % 40) for number in range(200)),  # Deseret: letters, not emoji
}
_NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

METHOD = f"""\
make: summarise() and render(); write: as_bytes() as it is done for SES. CPU (process_time) of one warm
process. Subjects have 200 characters: ASCII words, or letters of four bytes in UTF-8 (Deseret). Median
(least-most) of {_ROUNDS} rounds in which each report is made once, in turn; the ratio is to the 1-row
report with the same subjects in the same round. raw mail: all that SES is given, with its transfer
encodings; HTML: that part decoded. Sizes in bytes; [bold red]![/] marks what is over 102 KB
({GMAIL_CUTS_AT}), where Gmail cuts the HTML.
"""


@dataclass(frozen=True, slots=True)
class _Sample:
    made_ms: float
    written_ms: float
    raw_size: int
    html_size: int


def measured(settings: ReportSettings) -> Measured:
    rows = Table(
        title=f"Report mails with long subjects (MAX_ROWS={settings.max_rows})", title_justify="left"
    )
    for name in ("subjects", "rows", "make, ms", "/ 1 row", "write, ms", "raw mail", "HTML"):
        rows.add_column(name, justify="left" if name == "subjects" else "right", no_wrap=True)
    counts = sorted({1, 100, settings.max_rows, _MOST_ROWS})
    samplers = {
        (kind, count): _sampler(subject, count, settings)
        for kind, subject in _SUBJECTS.items()
        for count in counts
    }
    samples = interleaved(samplers, _ROUNDS)
    for (kind, count), taken in samples.items():
        made = [sample.made_ms for sample in taken]
        one_row = [sample.made_ms for sample in samples[kind, 1]]
        rows.add_row(
            kind,
            str(count),
            str(Spread.of(made)),
            str(Spread.of_ratios(made, one_row)),
            str(Spread.of([sample.written_ms for sample in taken])),
            _size(taken[0].raw_size),
            _size(taken[0].html_size),
        )
    size = max(samples[kind, 100][0].raw_size for kind in _SUBJECTS)
    return Measured(rows, [Reached("a report of 100 rows of 200 characters, bytes", GMAIL_CUTS_AT, size)])


def _size(size: int) -> str:
    return f"[bold red]! {size}[/]" if size > GMAIL_CUTS_AT else str(size)


def _sampler(subject: str, count: int, settings: ReportSettings) -> Callable[[], _Sample]:
    request = request_of("bob@example.com", _NOW)
    holding = MailboxListing(
        tuple(_held(number, subject, request.requester) for number in range(count)), count
    )

    def sample() -> _Sample:
        gc.collect()
        start = time.process_time()
        report = summarise(request, [holding], count)
        mail = render(report, sender=settings.report_sender, reply_to=settings.reply_to, now=_NOW)
        made = time.process_time()
        raw = mail.as_bytes(policy=SMTP)
        written = time.process_time()
        html = mail.get_body(("html",))
        if html is None:
            raise RuntimeError("the report has no HTML part")
        size = len(html.get_content().encode())
        return _Sample((made - start) * 1000, (written - made) * 1000, len(raw), size)

    return sample


def _held(number: int, subject: str, recipient: Address) -> HeldMessage:
    received_at = _NOW - timedelta(minutes=7 * number)
    return HeldMessage(
        recipient=recipient,
        message_id=f"held-{number}",
        received_at=received_at,
        sender=f"Parcel Service {number} <news{number}@parcels.example>",
        subject=subject,
        reason=HoldReason.SPAM,
        expires_at=received_at + timedelta(days=14),
    )
