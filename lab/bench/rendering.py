"""Time and size of reports with long subjects, in six scripts, beside a peer's."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.policy import SMTP
from functools import partial

from rich.table import Table

from lab.bench.figures import Spread, interleaved
from lab.bench.peer import notice
from lab.bench.targets import Measured, Reached
from lab.bench.workload import request_of
from quarantine.acting.offers import offers_on
from quarantine.held import HeldMessage, HoldReason, MailboxListing
from quarantine.mail.addresses import Address
from quarantine.reporting.message import render
from quarantine.reporting.summary import summarise
from quarantine.settings import ReportSettings

GMAIL_CUTS_AT = 102 * 1024
_MOST_ROWS = 1000  # the maximum of MaxRows in template.yaml
_ROUNDS = 7
_OF_THE_PEER = 0.33  # at most, of the time that mailcow's way takes, in every script
_GERMAN = "Ihr Paket wurde nicht zugestellt, bitte prüfen Sie die Größe und die Straße für Köln. "
_JAPANESE = "三月の会議資料をお送りします。至急ご確認ください（重要）、配送先の住所に誤りがあります。"
_SUBJECTS = {
    name: (words * 200)[:200]
    for name, words in {
        "ASCII": "Your parcel could not be delivered. ",
        "Latin with accents": _GERMAN,
        "CJK": _JAPANESE,
        "mixed": _GERMAN[:43] + _JAPANESE,
        "Arabic": "تم تعليق حسابك، يرجى تأكيد عنوانك قبل يوم الجمعة ",
        "emoji": "🎂🎈💶🚚🎁🔥🏆📦",
    }.items()
}
_SIZED = ("ASCII", "emoji")  # one byte a letter, and four: made with other numbers of rows, too
_NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

METHOD = f"""\
make: summarise() and render(); write: as_bytes() as it is done for SES. peer: a mail of the same rows, made
and written in mailcow's way (lab/bench/peer.py); / peer: make and write, to the peer of the same round. CPU
(process_time) of one warm process. Subjects have 200 characters. Median (least-most) of {_ROUNDS} rounds in
which each mail is made once, in turn. raw mail: all that SES is given, with its transfer encodings; HTML:
that part decoded. Sizes in bytes; [bold red]![/] marks what is over 102 KB ({GMAIL_CUTS_AT}), where Gmail
cuts the HTML.
"""


@dataclass(frozen=True, slots=True)
class _Sample:
    made_ms: float
    written_ms: float
    raw_size: int
    html_size: int

    @property
    def ms(self) -> float:
        return self.made_ms + self.written_ms


def measured(settings: ReportSettings) -> Measured:
    rows = Table(
        title=f"Report mails with long subjects (MAX_ROWS={settings.max_rows})", title_justify="left"
    )
    for name in ("subjects", "rows", "make, ms", "write, ms", "peer, ms", "/ peer", "raw mail", "HTML"):
        rows.add_column(name, justify="left" if name == "subjects" else "right", no_wrap=True)
    counts = {1, settings.max_rows, _MOST_ROWS} - {100}
    reports = [(kind, 100) for kind in _SUBJECTS] + [
        (kind, count) for kind in _SIZED for count in sorted(counts)
    ]
    samplers: dict[tuple[str, int, str], Callable[[], _Sample]] = {}
    for kind, count in reports:
        messages = tuple(_held(number, _SUBJECTS[kind]) for number in range(count))
        samplers[kind, count, "ours"] = _sampler(messages, settings)
        if count == 100:  # noqa: PLR2004 - the report that has a target
            samplers[kind, count, "peer"] = _peer_sampler(messages)
    samples = interleaved(samplers, _ROUNDS)
    ratios: list[float] = []
    for kind, count in reports:
        ours, peers = samples[kind, count, "ours"], samples.get((kind, count, "peer"))
        compared = ("-", "-")
        if peers:
            ratio = Spread.of_ratios([each.ms for each in ours], [each.ms for each in peers])
            ratios.append(ratio.median)
            compared = (str(Spread.of([each.ms for each in peers])), str(ratio))
        rows.add_row(
            kind,
            str(count),
            str(Spread.of([sample.made_ms for sample in ours])),
            str(Spread.of([sample.written_ms for sample in ours])),
            *compared,
            str(ours[0].raw_size),
            _size(ours[0].html_size),
        )
    size = max(samples[kind, 100, "ours"][0].html_size for kind in _SUBJECTS)
    return Measured(
        rows,
        [
            Reached("the HTML of 100 rows of 200 characters with all actions, bytes", GMAIL_CUTS_AT, size),
            Reached("a report of 100 rows / the peer's, in the slowest script", _OF_THE_PEER, max(ratios)),
        ],
    )


def _size(size: int) -> str:
    return f"[bold red]! {size}[/]" if size > GMAIL_CUTS_AT else str(size)


def _sampler(messages: tuple[HeldMessage, ...], settings: ReportSettings) -> Callable[[], _Sample]:
    request = request_of("bob@example.com", _NOW)
    holding = MailboxListing(messages, len(messages))
    offering = partial(offers_on, policy=settings.policy, domain=settings.reports_domain)

    def sample() -> _Sample:
        gc.collect()
        start = time.process_time()
        report = summarise(request, [holding], len(messages), offering)
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


def _peer_sampler(messages: tuple[HeldMessage, ...]) -> Callable[[], _Sample]:
    def sample() -> _Sample:
        gc.collect()
        start = time.process_time()
        raw = notice(messages)
        return _Sample((time.process_time() - start) * 1000, 0, len(raw), 0)

    return sample


def _held(number: int, subject: str) -> HeldMessage:
    received_at = _NOW - timedelta(minutes=7 * number)
    return HeldMessage(
        recipient=Address.parse("bob@example.com"),
        message_id=f"held-{number}",
        received_at=received_at,
        sender=f"Parcel Service {number} <news{number}@parcels.example>",
        subject=subject,
        reason=HoldReason.SPAM,
        expires_at=received_at + timedelta(days=14),
        code="abcdefghijklmnop",
        is_stored=True,
    )
