"""A mail server for filters that deliver held mail by SMTP or LMTP: 250 means that S3 has stored the mail."""

import asyncio
import logging
import re
import signal
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP, syntax

from ops.hold.writer import HeldMailWriter, HoldMetadata
from quarantine.held import HoldReason
from quarantine.mail.escaping import escaped

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session

_LARGEST_MAIL = 64 * 1024 * 1024  # bytes; a mail stays in memory until S3 has stored it
# No 5xx: a bounce of held mail would hit strangers.
_TRY_AGAIN = "451 4.3.0 the mail is not stored, try again"
_TOO_LARGE = "452 4.3.4 larger than this server accepts: pipe it into quarantine hold"
_PATH = re.compile(r"<([^<>]+)>(?:\s.*)?", re.DOTALL)  # RFC 5321 4.1.2, and the parameters after it
_LONGEST_COMMAND = 64 * 1024  # bytes
_log = logging.getLogger(__name__)


class Front(SMTP):
    """One connection of a client that speaks SMTP (EHLO) or LMTP (LHLO, RFC 2033)."""

    line_length_limit = _LARGEST_MAIL  # spam does not obey RFC 5321 4.5.3.1.6
    # A spammer chooses the envelope sender. aiosmtpd has one limit for HELO and another for EHLO.
    command_size_limit = _LONGEST_COMMAND
    command_size_limits = defaultdict(lambda: _LONGEST_COMMAND)  # noqa: RUF012 - as in aiosmtpd
    speaks_lmtp = False
    _replies = 0  # the number of replies due after the mail data

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, hostname: str) -> None:  # noqa: N802 - the name of the command
        self.speaks_lmtp = True
        await self.smtp_EHLO(hostname)

    def _getaddr(self, arg: str) -> tuple[str, str]:
        """Accept any path in MAIL or RCPT, and ignore its parameters.

        aiosmtpd answers 5xx to a path that it cannot read and to a parameter that it does not know, and the
        filter would bounce the mail. The sender is not used; the hold function rejects an invalid recipient.
        """
        path = _PATH.fullmatch(arg)
        return path[1] if path else arg or "<>", ""

    async def push(self, status: str) -> None:  # type: ignore[override]  # bytes: of AUTH
        """Send a reply; with LMTP, send the reply to mail data once for each recipient (RFC 2033 4.2)."""
        if self._replies:
            # aiosmtpd answers 5xx to a mail or a line that is too large.
            reply = _TOO_LARGE if status.startswith("5") else status
            status, self._replies = "\r\n".join([reply] * self._replies), 0
        elif status.startswith("354"):
            assert self.envelope is not None
            self._replies = len(self.envelope.rcpt_tos) if self.speaks_lmtp else 1
        await super().push(status)


class FrontHandler:
    """Stores each mail that a front receives.

    reason: of every mail; None to take it from the filters' header fields.
    by_header: take the recipients from those fields too, because RCPT TO names the filter's own mailbox.
    """

    def __init__(
        self, bucket: HeldMailWriter, reason: HoldReason | None = None, *, by_header: bool = False
    ) -> None:
        self._bucket, self._reason, self._by_header = bucket, reason, by_header

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: Front, session: "Session", envelope: "Envelope", hostname: str, responses: list[str]
    ) -> list[str]:
        """Announce the extensions that aiosmtpd does not announce. RFC 2033 5: an LMTP server must have both.

        The largest SIZE is not announced: Postfix would bounce a larger mail by itself.
        """
        session.host_name = hostname
        said = [each for each in responses[:-1] if not each.startswith("250-SIZE")]
        return [*said, "250-PIPELINING", "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_DATA(self, server: Front, session: "Session", envelope: "Envelope") -> str:  # noqa: N802 - aiosmtpd's name
        metadata = HoldMetadata(() if self._by_header else tuple(envelope.rcpt_tos), self._reason)
        mail = bytes(envelope.original_content or b"")
        try:
            keys = await asyncio.to_thread(self._bucket.put, mail, metadata)
        except Exception as e:  # noqa: BLE001 - after any error, the client still has the mail
            return await self.handle_exception(e)
        return f"250 2.0.0 held as {keys[0]}"

    async def handle_exception(self, error: Exception) -> str:
        _log.warning("not stored: %s: %s", type(error).__name__, escaped(str(error)))
        return _TRY_AGAIN


def connection(handler: FrontHandler, loop: asyncio.AbstractEventLoop | None = None) -> Front:
    """Return the protocol of a new connection, for `loop.create_server`."""
    return Front(handler, enable_SMTPUTF8=True, data_size_limit=_LARGEST_MAIL, loop=loop)


async def serve(handler: FrontHandler, host: str, port: int, ready: Callable[[list[str]], None]) -> None:
    """Serve until SIGINT or SIGTERM. ready: called with the addresses, `host:port`, when they answer."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stopped.set)
    server = await loop.create_server(lambda: connection(handler), host, port)
    ready([":".join(map(str, socket.getsockname()[:2])) for socket in server.sockets])
    await stopped.wait()
    server.close()  # the client still has a mail that got no 250
