"""The SMTP front under load: mails a second at S3's latency, greetings, memory, and a mail of blank lines."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from lab.bench.targets import Measured, Reached

_CLIENTS = 500
_MAILS = 4  # of each client
_LATENCIES = (30, 100)  # milliseconds of S3
_LARGE, _LARGE_SIZE = 8, 60 * 1000 * 1000
_BLANK_SIZE = 10 * 1000 * 1000
_PATIENCE = 20  # seconds for a greeting; more than the time that a lost SYN costs
_ROOT = Path(__file__).parents[2]
_MEGABYTE = 1_000_000

METHOD = f"""\
The front as its own process (`python -m ops.hold --listen`), S3 as another that throws bodies away and
answers each PutObject after the latency; the clients in a third, all on this machine and its loopback.
Load: {_CLIENTS} clients connect at once and send {_MAILS} mails of 4 KB each, MAIL, RCPT and DATA in one
write; mails a second from the first connection to the last 250. no greeting: clients that had none after
{_PATIENCE} s. large: {_LARGE} mails of {_LARGE_SIZE // _MEGABYTE} MB at once. blank lines: a mail of
{_BLANK_SIZE // _MEGABYTE} MB of CRLF, and the longest wait of another client that sends NOOP all the time.
peak: VmHWM of the front. Each row is one run of a new front.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients of one run met. longest_wait: of the client that only waits, in seconds."""

    stored: int = 0
    deferred: int = 0  # mails that were answered with 4xx
    without_greeting: int = 0
    lost: int = 0  # clients whose connection ended before their last reply
    seconds: float = 0
    peak: float = 0  # megabytes
    longest_wait: float = 0

    @property
    def rate(self) -> float:
        return self.stored / self.seconds if self.seconds else 0


def measured() -> Measured:
    rows = Table(title="The SMTP front under load", title_justify="left")
    for name in (
        "load",
        "S3, ms",
        "stored",
        "4xx",
        "lost",
        "no greeting",
        "s",
        "mails a second",
        "peak, MB",
        "wait, s",
    ):
        rows.add_column(name, justify="left" if name == "load" else "right", no_wrap=True)
    reached: list[Reached] = []
    for latency in _LATENCIES:
        load = _run(latency, many)
        _add(rows, f"{_CLIENTS} clients at once", latency, load, "")
        reached += [
            Reached(f"front: mails a second at {latency} ms", 180, load.rate, at_least=True),
            Reached(
                f"front: clients without a greeting at {latency} ms", 0, load.without_greeting + load.lost
            ),
        ]
    large = _run(_LATENCIES[0], large_mails)
    _add(rows, f"{_LARGE} x {_LARGE_SIZE // _MEGABYTE} MB", _LATENCIES[0], large, "")
    blank = _run(_LATENCIES[0], blank_lines)
    _add(rows, "blank lines", _LATENCIES[0], blank, f"{blank.longest_wait:.2f}")
    reached.append(Reached(f"front: peak with {_LARGE} x 60 MB, MB", 300, large.peak))
    return Measured(rows, reached)


def _add(rows: Table, name: str, latency: int, load: Load, wait: str) -> None:
    rows.add_row(
        name,
        str(latency),
        str(load.stored),
        str(load.deferred),
        str(load.lost),
        str(load.without_greeting),
        f"{load.seconds:.1f}",
        f"{load.rate:.1f}",
        f"{load.peak:.0f}",
        wait,
    )


# --- Processes ---


def _run(latency: int, load: Callable[[int], Coroutine[Any, Any, Load]]) -> Load:
    """Let the load meet a new front, before an S3 of that latency in milliseconds."""
    with process("lab.bench.slow_s3", str(latency), port_first=True) as (s3, _):
        arguments = ("--bucket", "mail", "--endpoint-url", f"http://127.0.0.1:{s3}", "--listen")
        with process("ops.hold", *arguments) as (port, pid):
            met: Load = asyncio.run(load(port))
            return Load(
                met.stored,
                met.deferred,
                met.without_greeting,
                met.lost,
                met.seconds,
                _peak(pid),
                met.longest_wait,
            )


@contextlib.contextmanager
def process(module: str, *arguments: str, port_first: bool = False) -> Iterator[tuple[int, int]]:
    """Run a server of this project on a free port until the end of the block; yield port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(port), *arguments] if port_first else [*arguments, f"127.0.0.1:{port}"]
    environ = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH": os.defpath,
    }
    with subprocess.Popen(
        [sys.executable, "-m", module, *command],
        cwd=_ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            _await_port(server, port)
            yield port, server.pid
        finally:
            server.kill()


def _await_port(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{server.args!r} does not answer")


def _peak(pid: int) -> float:
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(peak) * 1024 / _MEGABYTE


# --- Clients ---


async def many(port: int) -> Load:
    """All clients connect at once, each with its mails."""
    return await _together(
        [_client(port, [_mail(client, number) for number in range(_MAILS)]) for client in range(_CLIENTS)]
    )


async def large_mails(port: int) -> Load:
    line = b"x" * 78 + b"\r\n"
    body = line * (_LARGE_SIZE // len(line))
    return await _together(
        [_client(port, [b"Subject: %d\r\n\r\n" % client + body]) for client in range(_LARGE)]
    )


async def blank_lines(port: int) -> Load:
    """One client sends blank lines; another waits for replies to NOOP."""
    waiting = asyncio.create_task(_waiting(port))
    await asyncio.sleep(0.2)
    load = await _together([_client(port, [b"\r\n" * (_BLANK_SIZE // 2)])])
    waiting.cancel()
    longest = await waiting
    return Load(load.stored, load.deferred, load.without_greeting, load.lost, load.seconds, 0, longest)


async def _together(clients: Sequence[Awaitable[Load]]) -> Load:
    start = time.perf_counter()
    loads = await asyncio.gather(*clients)
    return Load(
        sum(each.stored for each in loads),
        sum(each.deferred for each in loads),
        sum(each.without_greeting for each in loads),
        sum(each.lost for each in loads),
        time.perf_counter() - start,
    )


async def _client(port: int, mails: Sequence[bytes]) -> Load:
    """Send mails over one connection."""
    stored = deferred = 0
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if not (await _reply(reader)).startswith(b"220"):
                return Load(without_greeting=1)
    except (OSError, TimeoutError, EOFError):
        return Load(without_greeting=1)
    try:
        writer.write(b"EHLO bench\r\n")
        await _reply(reader)
        for mail in mails:
            writer.write(b"MAIL FROM:<eve@x.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n")
            for _ in range(3):
                await _reply(reader)
            writer.write(mail)
            writer.write(b".\r\n")
            await writer.drain()
            accepted = (await _reply(reader)).startswith(b"250")
            stored, deferred = stored + accepted, deferred + (not accepted)
    except (OSError, EOFError):
        return Load(stored, deferred, lost=1)
    finally:
        writer.close()
    return Load(stored, deferred)


async def _waiting(port: int) -> float:
    """Send NOOP until cancelled; return the longest wait for a reply, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _reply(reader)
    longest, start = 0.0, time.perf_counter()
    try:
        while True:
            start = time.perf_counter()
            writer.write(b"NOOP\r\n")
            await _reply(reader)
            longest = max(longest, time.perf_counter() - start)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return max(longest, time.perf_counter() - start)
    finally:
        writer.close()


async def _reply(reader: asyncio.StreamReader) -> bytes:
    """Return the last line of a reply. Raises EOFError at the end of the connection."""
    while True:
        line = await reader.readuntil(b"\r\n")
        if line[3:4] != b"-":
            return line


def _mail(client: int, number: int) -> bytes:
    header = b"From: Eve <eve@x.example>\r\nSubject: Prize %d of %d\r\n\r\n" % (number, client)
    line = b"Please confirm your address before Friday.\r\n"
    return header + line * ((4096 - len(header)) // len(line))
