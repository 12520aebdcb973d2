"""A company's mail server with one mailbox, and the agent beside it, which brings what users release."""

import asyncio
import contextlib
import mailbox
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from local.server import listening

_END_WITHIN = 30  # seconds, for the agent


class _Mailbox:
    """The SMTP server as aiosmtpd's handler: each mail becomes one file, byte for byte."""

    def __init__(self, maildir: mailbox.Maildir) -> None:
        self._maildir = maildir

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self._maildir.add(bytes(envelope.original_content or b""))
        return "250 it is in the mailbox"


def _smtp(handler: _Mailbox, loop: asyncio.AbstractEventLoop) -> SMTP:
    return SMTP(handler, loop=loop)


@contextlib.contextmanager
def mail_server(maildir: mailbox.Maildir) -> Iterator[str]:
    """Serve SMTP on loopback until the end of the block; yield its `host:port`."""
    with listening(partial(_smtp, _Mailbox(maildir)), 0) as address:
        yield address


@contextlib.contextmanager
def agent(server: str, domain: str, environ: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run `quarantine deliver` until the end of the block. server: its `host:port`."""
    command = [sys.executable, "-m", "ops", "deliver", "--to", f"smtp:{server}", "--domain", domain]
    with (
        log.open("w") as output,
        subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--wait", "1"], env={**os.environ, **environ}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(_END_WITHIN)
