"""Serves a front: the socket, the number of connections, TLS, and the end."""

import asyncio
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ops.hold.front import Front, FrontHandler

MOST_CONNECTIONS: Final = 1000
_BACKLOG: Final = 1024  # connections that the kernel takes until we look
_DRAINED_WITHIN: Final = 60  # seconds; systemd waits 90
_BUSY = b"421 4.3.2 too many connections, try again\r\n"


class _Busy(asyncio.Protocol):
    """A connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_BUSY)
        transport.close()


def connection(
    handler: FrontHandler, loop: asyncio.AbstractEventLoop | None = None, most: int = MOST_CONNECTIONS
) -> asyncio.BaseProtocol:
    """Return the protocol of a new connection, for `loop.create_server`."""
    if len(handler.open) >= most:
        return _Busy()
    # A name of its own: aiosmtpd would ask the DNS for it at each connection.
    return Front(
        handler, enable_SMTPUTF8=True, hostname="quarantine-hold", tls_context=handler.tls, loop=loop
    )


def tls_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return what STARTTLS needs. key: None if it is in the certificate's file.

    Raises OSError (ssl.SSLError is one) if they cannot be read or do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key, password="")  # one with a password is refused, not asked for
    return context


async def serve(handler: FrontHandler, host: str, port: int, ready: Callable[[list[str]], None]) -> None:
    """Serve until SIGINT or SIGTERM; then answer the mails that are being stored, and end.

    ready: called with the addresses, `host:port`, when they answer.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stopped.set)
    server = await loop.create_server(lambda: connection(handler), host, port, backlog=_BACKLOG)
    ready([":".join(map(str, socket.getsockname()[:2])) for socket in server.sockets])
    await stopped.wait()
    server.close()
    # A client whose mail gets no 250 still has it.
    until = loop.time() + _DRAINED_WITHIN
    while handler.open and loop.time() < until:
        for front in set(handler.open):
            front.leave()
        await asyncio.sleep(0.05)
