"""CPU and memory of a preview: of an ordinary mail, of large ones, and of mails made to be slow."""

import gc
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.policy import SMTP

from rich.table import Table

from lab.bench.figures import Spread, interleaved
from lab.bench.targets import Measured, Reached
from quarantine.acting.offers import Offer
from quarantine.acting.rules import Action
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage, HoldReason
from quarantine.mail.addresses import Address
from quarantine.previewing.preview import read_preview
from quarantine.reporting.preview import render_preview

_ROUNDS = 5
_MOST_SECONDS = 1
_MEGABYTE = 1_000_000
_NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_BOB = Address.parse("bob@example.com")

METHOD = f"""\
read: read_preview() of the stored bytes; render: render_preview() and as_bytes() as it is done for SES. CPU
(process_time) of one warm process; median (least-most) of {_ROUNDS} rounds, the mails in turn. peak: the
most that Python allocated meanwhile (tracemalloc, in a run of its own), beside the mail itself.
"""


def measured() -> Measured:
    rows = Table(title="Previews", title_justify="left")
    for name in ("mail", "MB", "read, ms", "render, ms", "peak, MB"):
        rows.add_column(name, justify="left" if name == "mail" else "right", no_wrap=True)
    mails = _mails()
    samples = interleaved({name: _sampler(raw) for name, raw in mails.items()}, _ROUNDS)
    reached: list[Reached] = []
    for name, raw in mails.items():
        read = Spread.of([each[0] for each in samples[name]])
        render = Spread.of([each[1] for each in samples[name]])
        peak = _peak(raw)
        size = len(raw) / _MEGABYTE
        rows.add_row(name, f"{size:.1f}", str(read), str(render), f"{peak / _MEGABYTE:.1f}")
        reached.append(
            Reached(f"a preview: CPU, s, {name}", _MOST_SECONDS, (read.median + render.median) / 1000)
        )
        reached.append(Reached(f"a preview: peak beside the mail, MB, {name}", 30, peak / _MEGABYTE))
    return Measured(rows, reached)


def _mails() -> dict[str, bytes]:
    page = b"<p>Dear <b>customer</b>, see <a href='https://news.example/x'>the news</a> of today.</p>\n"
    letters = (b"QUJD" * 19 + b"\r\n") * (30 * _MEGABYTE // 78)
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20))
    return {
        "1 MB of HTML": b"From: a@b.example\nContent-Type: text/html\n\n" + page * (_MEGABYTE // len(page)),
        "30 MB attached": b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n"
        b"--b\n\nHello\n--b\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n"
        + letters
        + b"--b--\n",
        "30 MB of text": b"From: a@b.example\n\n" + b"Dear customer, see the news.\r\n" * _MEGABYTE,
        "1 MB of hidden letters": b"From: a@b.example\n\n" + "\u202e".encode() * (_MEGABYTE // 3),
        "1 MB of tags": b"From: a@b.example\nContent-Type: text/html\n\n" + b"<b>" * (_MEGABYTE // 3),
        "30 MB of delimiters, 20 levels": b"From: a@b.example\n" + nested + b"\n" + b"\n--b" * 7_500_000,
    }


def _sampler(raw: bytes) -> Callable[[], tuple[float, float]]:
    def sample() -> tuple[float, float]:
        gc.collect()
        start = time.process_time()
        preview = read_preview(raw)
        read = time.process_time()
        render_preview(
            preview,
            HeldMessage(_BOB, "<1@b.example>", _NOW, "a@b.example", "a", HoldReason.SPAM, None),
            [Offer(Action.RELEASE, Address.parse("release-1-abcdefghijklmnop@reports.example.com"))],
            request_id="1",
            requester=_BOB,
            reply=ReplyContext(timedelta(hours=1)),
            sender=Address.parse("quarantine@reports.example.com"),
            reply_to=None,
            now=_NOW,
        ).as_bytes(policy=SMTP)
        return (read - start) * 1000, (time.process_time() - read) * 1000

    return sample


def _peak(raw: bytes) -> int:
    """Return the most bytes that a preview allocates at once."""
    gc.collect()
    tracemalloc.start()
    try:
        read_preview(raw)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
