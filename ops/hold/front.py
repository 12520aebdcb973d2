"""A mail server for filters that deliver held mail by SMTP or LMTP: 250 means that S3 has stored the mail.

aiosmtpd speaks the protocol. What it does line by line with a mail's data is done here at once, within a
budget of memory (docs/decisions/0019-the-front.md).
"""

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from ssl import SSLContext
from typing import TYPE_CHECKING, Final

from aiosmtpd.smtp import SMTP, syntax

from ops.hold.budget import Budget, Share, share_of
from ops.hold.reading import completed
from ops.hold.writer import AT_ONCE, HeldMailWriter, HoldMetadata
from quarantine.held import HoldReason
from quarantine.holding.filters.family import Family
from quarantine.mail.escaping import escaped

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session

_LARGEST_MAIL: Final = 64 * 1024 * 1024  # bytes; a mail stays in memory until S3 has stored it
_SMALL_MAIL: Final = 128 * 1024  # needs no share of the budget: 1,000 of them are 128 MB
_LARGE_MAILS: Final = 2 * _LARGEST_MAIL  # bytes of all larger mails together
_MOST_RECIPIENTS: Final = 1000  # RFC 5321 4.5.3.1.8: at least 100; of one mail, as the hold function has it
_LONGEST_COMMAND: Final = 64 * 1024  # bytes
_IDLE: Final = 300  # seconds; RFC 5321 4.5.3.2.7: at least five minutes
# No 5xx: a bounce of held mail would hit strangers.
_TRY_AGAIN = "451 4.3.0 the mail is not stored, try again"
_TOO_LARGE = "452 4.3.4 larger than this server accepts: pipe it into quarantine-hold"
_TOO_MANY = "452 4.5.3 too many recipients: send the mail to the others by itself"  # RFC 5321 4.5.3.1.10
_SLEPT = b"421 4.4.2 nothing was said for too long\r\n"
_GOING = b"421 4.3.2 this server stops\r\n"
_PATH = re.compile(r"<([^<>]+)>(?:\s.*)?", re.DOTALL)  # RFC 5321 4.1.2, and the parameters after it
_END = b"\r\n.\r\n"  # RFC 5321 4.1.1.4; by no other end could a mail be smuggled in
_ALL = 1 << 30  # bytes of a read: all that has come
_log = logging.getLogger(__name__)


class Front(SMTP):
    """One connection of a client that speaks SMTP (EHLO) or LMTP (LHLO, RFC 2033)."""

    line_length_limit = _LONGEST_COMMAND  # of a command; a mail may have any lines
    # A spammer chooses the envelope sender. aiosmtpd has one limit for HELO and another for EHLO.
    command_size_limit = _LONGEST_COMMAND
    command_size_limits = defaultdict(lambda: _LONGEST_COMMAND)  # noqa: RUF012 - as in aiosmtpd
    speaks_lmtp = False
    _replies = 0  # the number of replies due after the mail data
    _is_storing = False

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, hostname: str) -> None:  # noqa: N802 - the name of the command
        self.speaks_lmtp = True
        await self.smtp_EHLO(hostname)

    @syntax("RCPT TO:<path>")
    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        if self.envelope is not None and len(self.envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            await self.push(_TOO_MANY)
            return
        await super().smtp_RCPT(arg)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Read a mail up to its end and hand it over: aiosmtpd would keep an object for each of its lines."""
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 need RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 DATA takes no argument")
            return
        await self.push("354 end with a line that is a dot")
        with share_of(self.event_handler.budget, _SMALL_MAIL, _LARGEST_MAIL) as share:
            mail = await self._mail(share)
            if mail is None:
                reply = _TOO_LARGE
            else:
                self._is_storing = True
                reply = await self.event_handler.store(mail, self.envelope.rcpt_tos)
                self._is_storing = False
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        await self.push(reply)

    async def _mail(self, share: Share) -> bytearray | None:
        """Return the mail that the client sends now; None if it is too large."""
        data = bytearray(b"\r\n")  # the line end of DATA: the end of the mail may follow at once
        is_too_large = False
        searched = 0
        while (end := data.find(_END, searched)) == -1:
            searched = max(0, len(data) - len(_END) + 1)
            if is_too_large or len(data) > _LARGEST_MAIL:
                is_too_large = True
                del data[:searched]
                searched = 0
            await share.grow(len(data))
            chunk = await self._reader.read(_ALL)
            if not chunk:
                raise ConnectionResetError("the client left within a mail")
            data += chunk
        if rest := bytes(data[end + len(_END) :]):
            self._reader.feed_data(rest)  # commands behind the mail; nothing else has come in the meantime
        if is_too_large or end > _LARGEST_MAIL:
            return None
        del data[end + 2 :]
        if b"\r\n." in data:
            data = data.replace(b"\r\n.", b"\r\n")  # RFC 5321 4.5.2
        del data[:2]
        return data

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
            status, self._replies = "\r\n".join([status] * self._replies), 0
        elif status.startswith("354"):
            assert self.envelope is not None
            self._replies = len(self.envelope.rcpt_tos) if self.speaks_lmtp else 1
        await super().push(status)

    # --- The connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.event_handler.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.open.discard(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._reset_timeout()
        super().data_received(data)

    def _timeout_cb(self) -> None:
        if self._is_storing:  # the client waits for us
            self._reset_timeout()
            return
        self.leave(_SLEPT)

    def leave(self, reply: bytes = _GOING) -> None:
        """End the connection, unless its mail is being stored: then after the reply to it."""
        if self.transport is not None and not self._is_storing:
            self.transport.write(reply)  # type: ignore[attr-defined]  # of a stream
            self.transport.close()


class FrontHandler:
    """Stores each mail that a front receives.

    reason: of every mail; None to take it from the filters' header fields.
    by_header: take the recipients from those fields too, because RCPT TO names the filter's own mailbox.
    families: the filters whose fields are read before a mail is stored; none to leave that to hold.
    tls: for STARTTLS; None to offer none.
    """

    def __init__(
        self,
        bucket: HeldMailWriter,
        reason: HoldReason | None = None,
        *,
        by_header: bool = False,
        families: Collection[Family] = (),
        tls: SSLContext | None = None,
    ) -> None:
        self._bucket, self._reason, self._by_header = bucket, reason, by_header
        self._families = families
        self.tls = tls
        self.budget = Budget(_LARGE_MAILS)
        self.open: set[Front] = set()
        self._threads = ThreadPoolExecutor(AT_ONCE, "s3")  # starts a thread only if all others are busy

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: Front, session: "Session", envelope: "Envelope", hostname: str, responses: list[str]
    ) -> list[str]:
        """Announce the extensions that aiosmtpd does not announce. RFC 2033 5: an LMTP server must have both.

        The largest SIZE is not announced: Postfix would bounce a larger mail by itself.
        """
        session.host_name = hostname
        said = [each for each in responses[:-1] if not each.startswith("250-SIZE")]
        return [*said, "250-PIPELINING", "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def store(self, mail: bytes | bytearray, recipients: list[str]) -> str:
        """Store a mail and return the reply to it."""
        metadata = HoldMetadata(() if self._by_header else tuple(recipients), self._reason)
        loop = asyncio.get_running_loop()
        try:
            keys = await loop.run_in_executor(self._threads, self._put, mail, metadata)
        except Exception as e:  # noqa: BLE001 - after any error, the client still has the mail
            return await self.handle_exception(e)
        return f"250 2.0.0 held as {keys[0]}"

    def _put(self, mail: bytes | bytearray, metadata: HoldMetadata) -> tuple[str, ...]:
        if self._families:
            metadata = completed(mail, metadata, self._families)
        return self._bucket.put(mail, metadata)

    async def handle_exception(self, error: Exception) -> str:
        _log.warning("not stored: %s: %s", type(error).__name__, escaped(str(error)))
        return _TRY_AGAIN
