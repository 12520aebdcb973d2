"""Starts and stops everything in a local run."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
from aiosmtpd.smtp import SMTP, Envelope, Session
from moto.server import ThreadedMotoServer

from local.pipeline import Outbox, Pipeline
from local.ses import REGION, Delivery
from local.stack import STACK_NAME, Stack, create_stack
from ops.hold.front import FrontHandler
from ops.hold.serving import connection
from ops.hold.writer import HeldMailWriter
from quarantine.asking.event import Verdicts

LOOPBACK = "127.0.0.1"
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}


@dataclass(frozen=True, slots=True)
class Local:
    """A running local run.

    smtp, hold: `host:port` of SES and of the front for held mail. outbox: the maildir with the sent mail.
    """

    smtp: str
    hold: str
    endpoint_url: str
    outbox: Path
    stack: Stack
    session: boto3.Session
    pipeline: Pipeline

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which your program finds its tables, and `quarantine` the stack."""
        return {
            **self.stack.environ,
            **_CREDENTIALS,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "QUARANTINE_STACK": STACK_NAME,
        }


class _Front:
    """The SMTP server as aiosmtpd's handler: 250 only when the mail is stored."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        delivery = Delivery(
            peer=str(session.peer and session.peer[0]),
            helo=session.host_name or "unknown",
            envelope_from=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            data=bytes(envelope.original_content or b""),
        )
        message_id = await asyncio.to_thread(self._pipeline.accept, delivery)
        return f"250 OK {message_id}"


def _ses(front: _Front, loop: asyncio.AbstractEventLoop) -> SMTP:
    return SMTP(front, enable_SMTPUTF8=True, loop=loop)


def _empty(endpoint_url: str) -> None:
    """Delete what a run before this one left: moto keeps it as long as the process."""
    with urlopen(Request(f"{endpoint_url}/moto-api/reset", method="POST")):  # noqa: S310 - http, on loopback
        pass


type Connection = Callable[[asyncio.AbstractEventLoop], asyncio.BaseProtocol]


@contextlib.contextmanager
def listening(connection: Connection, port: int) -> Iterator[str]:
    """Serve from a separate thread; yield its `host:port`. connection: makes each connection's protocol."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncio.Server:
        return await loop.create_server(lambda: connection(loop), LOOPBACK, port)

    try:
        server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
        yield "{}:{}".format(*server.sockets[0].getsockname())
        loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def running(
    smtp_port: int,
    outbox: Path,
    verdicts: Verdicts,
    parameters: Mapping[str, str] | None = None,
    hold_port: int = 0,
    *,
    rejects: bytes = b"",
) -> Iterator[Local]:
    """Run the whole pipeline until the end of the block.

    smtp_port, hold_port: 0 for any free one. parameters: of template.yaml. rejects: as for Outbox.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # moto logs a line for each call
    moto = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    moto.start()
    try:
        endpoint_url = "http://{}:{}".format(*moto.get_host_and_port())
        _empty(endpoint_url)
        os.environ.update(_CREDENTIALS, AWS_ENDPOINT_URL=endpoint_url)
        session = boto3.Session()
        stack = create_stack(session, parameters)
        # Before any client of SES is made: it observes their calls.
        maildir = Outbox(outbox, session, stack.feedback_queue_url, rejects)
        pipeline = Pipeline(session, stack, verdicts)
        pipeline.start()
        try:
            held = FrontHandler(HeldMailWriter(session.client("s3"), stack.environ["MAIL_BUCKET"]))
            with (
                listening(partial(_ses, _Front(pipeline)), smtp_port) as smtp,
                listening(partial(connection, held), hold_port) as hold,
            ):
                yield Local(smtp, hold, endpoint_url, maildir.directory, stack, session, pipeline)
        finally:
            pipeline.stop()
    finally:
        moto.stop()
