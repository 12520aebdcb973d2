"""The front's data, memory, connections and TLS; tests/ops/test_hold.py has what it stores and answers."""

import asyncio
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from ops.hold.budget import Budget, share_of
from ops.hold.front import FrontHandler
from ops.hold.serving import tls_context
from ops.hold.writer import HoldMetadata
from tests.ops.test_hold import serving
from tests.tls import self_signed

PATIENCE = 30
COMMANDS = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"


class Bucket:
    """Keeps what it is given. gate: a put waits for it."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.mails: list[bytes] = []
        self.entered = threading.Semaphore(0)
        self._gate = gate

    def put(self, mail: bytes | bytearray, metadata: HoldMetadata) -> tuple[str, ...]:
        self.entered.release()
        if self._gate is not None:
            assert self._gate.wait(PATIENCE)
        self.mails.append(bytes(mail))
        return ("held/1",)


def handler(bucket: Bucket, **options: Any) -> FrontHandler:
    return FrontHandler(bucket, **options)  # type: ignore[arg-type]  # in the writer's place


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def front(bucket: Bucket) -> Iterator[tuple[str, int]]:
    with serving(handler(bucket)) as address:
        yield address


class Raw:
    """A client that sends bytes as they are, and reads replies."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def reply(self) -> int:
        """Return the code of the next reply; 0 at the end of the connection."""
        while (line := self._lines.readline())[3:4] == b"-":
            pass
        return int(line[:3] or 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()


def _start(client: Raw) -> None:
    client.send(COMMANDS)
    assert [client.reply() for _ in range(5)] == [220, 250, 250, 250, 354]


@pytest.mark.parametrize(
    ("sent", "mail"),
    [
        pytest.param(b".\r\n", b"", id="nothing"),
        pytest.param(b"\r\n.\r\n", b"\r\n", id="an empty line"),
        pytest.param(b"..\r\n.\r\n", b".\r\n", id="a dot"),
        pytest.param(b"...\r\n.\r\n", b"..\r\n", id="two dots"),
        pytest.param(b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n", id="a dot before text"),
        pytest.param(b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", id="a dot between line feeds"),
        pytest.param(b"a\r.\rb\r\n.\r\n", b"a\r.\rb\r\n", id="a dot between carriage returns"),
        pytest.param(b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", id="a dot after a line feed"),
        pytest.param(b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", id="a dot before a line feed"),
        pytest.param(b"a\r\r\n.\r\n", b"a\r\r\n", id="two carriage returns"),
        pytest.param(b"\r\n" * 40_000 + b".\r\n", b"\r\n" * 40_000, id="only empty lines"),
        pytest.param(b"x" * 300_000 + b"\r\n.\r\n", b"x" * 300_000 + b"\r\n", id="a line of 300 KB"),
        pytest.param(b"..\r\n" * 40_000 + b".\r\n", b".\r\n" * 40_000, id="only dots"),
    ],
)
def test_the_data_ends_at_its_end_and_nowhere_else(
    sent: bytes, mail: bytes, front: tuple[str, int], bucket: Bucket
) -> None:
    with Raw(front) as client:
        _start(client)
        client.send(sent + b"NOOP\r\n")
        assert [client.reply(), client.reply()] == [250, 250]
    assert bucket.mails == [mail]


@pytest.mark.parametrize("place", range(1, 10))
def test_the_end_may_come_in_pieces(place: int, front: tuple[str, int], bucket: Bucket) -> None:
    data = b"ab\r\n.\r\nNO"
    with Raw(front) as client:
        _start(client)
        client.send(data[:place])
        client.send(data[place:])
        client.send(b"OP\r\nQUIT\r\n")
        assert [client.reply() for _ in range(3)] == [250, 250, 221]
    assert bucket.mails == [b"ab\r\n"]


def test_mails_and_commands_in_one_write(front: tuple[str, int], bucket: Bucket) -> None:
    mail = b"MAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nmail %d\r\n.\r\n"
    with Raw(front) as client:
        client.send(b"EHLO x\r\n" + b"".join(mail % number for number in range(5)) + b"QUIT\r\n")
        assert [client.reply() for _ in range(23)] == [220, 250, *[250, 250, 354, 250] * 5, 221]
    assert bucket.mails == [b"mail %d\r\n" % number for number in range(5)]


def test_a_command_without_an_end_takes_no_memory(front: tuple[str, int]) -> None:
    with Raw(front) as client, Raw(front) as other:
        assert client.reply() == 220
        client.send(b"RCPT TO:<" + b"x" * 500_000)
        assert other.reply() == 220
        client.send(b"\r\nNOOP\r\n")
        assert [client.reply(), client.reply()] == [500, 250]


@pytest.mark.parametrize(("recipients", "last"), [(1000, 250), (1001, 452)])
def test_more_recipients_than_hold_takes_are_for_another_mail(
    recipients: int, last: int, front: tuple[str, int]
) -> None:
    with Raw(front) as client:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<b@x.example>\r\n" * recipients)
        codes = [client.reply() for _ in range(3 + recipients)]
    assert (codes[-2], codes[-1]) == (250, last)


# --- Connections ---


def test_a_connection_too_many_is_told_so(bucket: Bucket) -> None:
    with serving(handler(bucket), most=2) as address, Raw(address) as one:
        assert one.reply() == 220
        with Raw(address) as two:
            assert two.reply() == 220
            with Raw(address) as three:
                assert [three.reply(), three.reply()] == [421, 0]
            two.send(b"QUIT\r\n")
            assert [two.reply(), two.reply()] == [221, 0]
        with Raw(address) as four:
            assert four.reply() == 220


def _on(served: FrontHandler, act: Callable[[Any], None]) -> None:
    """Do something to each connection, on the thread of the front."""
    for each in set(served.open):
        each.loop.call_soon_threadsafe(act, each)


def test_a_client_that_says_nothing_is_told_to_go(bucket: Bucket) -> None:
    served = handler(bucket)
    with serving(served) as address, Raw(address) as client:
        assert client.reply() == 220
        _on(served, lambda each: each._timeout_cb())  # noqa: SLF001 - five minutes later
        assert [client.reply(), client.reply()] == [421, 0]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(lambda each: each._timeout_cb(), id="it takes long"),  # noqa: SLF001
        pytest.param(lambda each: each.leave(), id="the front stops"),
    ],
)
def test_a_mail_that_is_being_stored_is_answered(event: Callable[[Any], None]) -> None:
    gate = threading.Event()
    bucket = Bucket(gate)
    served = handler(bucket)
    with serving(served) as address, Raw(address) as client:
        _start(client)
        client.send(b"a\r\n.\r\n")
        assert bucket.entered.acquire(timeout=PATIENCE)
        _on(served, event)
        gate.set()
        assert client.reply() == 250
    assert bucket.mails == [b"a\r\n"]


def test_a_slow_store_holds_up_no_other_client() -> None:
    gate = threading.Event()
    bucket = Bucket(gate)
    with serving(handler(bucket)) as address, Raw(address) as slow:
        _start(slow)
        slow.send(b"a\r\n.\r\n")
        assert bucket.entered.acquire(timeout=PATIENCE)
        with Raw(address) as other:
            other.send(b"NOOP\r\n")
            assert [other.reply(), other.reply()] == [220, 250]
        gate.set()
        assert slow.reply() == 250


# --- Memory ---


def test_large_mails_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.hold.front._SMALL_MAIL", 1000)
    monkeypatch.setattr("ops.hold.front._LARGEST_MAIL", 100_000)
    monkeypatch.setattr("ops.hold.front._LARGE_MAILS", 100_000)
    gate = threading.Event()
    bucket = Bucket(gate)
    with serving(handler(bucket)) as address, Raw(address) as one, Raw(address) as two, Raw(address) as small:
        for client in (one, two, small):
            _start(client)
        one.send(b"1" * 50_000 + b"\r\n.\r\n")
        assert bucket.entered.acquire(timeout=PATIENCE)
        two.send(b"2" * 50_000 + b"\r\n.\r\n")
        small.send(b"3\r\n.\r\n")
        assert bucket.entered.acquire(timeout=PATIENCE)  # of the small one: the large one waits
        assert not bucket.entered.acquire(blocking=False)
        gate.set()
        assert {client.reply() for client in (one, two, small)} == {250}
    assert sorted(mail[:1] for mail in bucket.mails) == [b"1", b"2", b"3"]


def test_who_asks_first_is_served_first() -> None:
    async def run() -> list[str]:
        budget = Budget(10)
        served: list[str] = []

        async def take(name: str, size: int) -> None:
            await budget.take(size)
            served.append(name)

        await take("first", 8)
        tasks = [
            asyncio.create_task(take(name, size)) for name, size in (("large", 9), ("gone", 5), ("small", 2))
        ]
        await asyncio.sleep(0)
        assert served == ["first"]  # the small one would fit, and the large one would wait for ever
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        budget.give(8)
        await asyncio.sleep(0)
        assert served == ["first", "large"]
        budget.give(9)
        await asyncio.gather(tasks[0], tasks[2])
        return served

    assert asyncio.run(run()) == ["first", "large", "small"]


def test_what_a_client_took_that_left_is_given_back() -> None:
    async def run() -> None:
        budget = Budget(10)
        await budget.take(10)
        waiting = asyncio.create_task(budget.take(10))
        await asyncio.sleep(0)
        budget.give(10)  # it is served, and cancelled before it runs
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(PATIENCE):
            await budget.take(10)
        with share_of(Budget(10), small=1, largest=10) as share:
            await share.grow(1)
            await share.grow(2)
            await share.grow(10)

    asyncio.run(run())


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "both.pem")


def test_a_client_may_use_tls(certificate: Path, bucket: Bucket) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    served = handler(bucket, tls=tls_context(certificate, None))
    with serving(served) as (_, port), smtplib.SMTP("127.0.0.1", port, "x", PATIENCE) as client:
        client._host = "localhost"  # type: ignore[attr-defined]  # noqa: SLF001 - the name to check
        assert client.has_extn("starttls") is False
        client.ehlo()
        assert client.has_extn("starttls")
        client.starttls(context=trusting)
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.sendmail("eve@x.example", ["bob@example.com"], b"x" * 200_000 + b"\r\n") == {}
    assert bucket.mails == [b"x" * 200_000 + b"\r\n"]


def _read_reply(connected: socket.socket) -> bytes:
    """Read one whole reply, and no byte more."""
    said = b""
    while not re.search(rb"(?:\A|\n)\d{3} [^\n]*\n\Z", said):
        more = connected.recv(1)
        assert more, said
        said += more
    return said


def test_commands_before_tls_do_not_count_in_it(certificate: Path, bucket: Bucket) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    served = handler(bucket, tls=tls_context(certificate, None))
    with serving(served) as address, socket.create_connection(address, timeout=PATIENCE) as plain:
        assert _read_reply(plain).startswith(b"220")
        plain.sendall(b"EHLO x\r\n")
        assert b"STARTTLS" in _read_reply(plain)
        plain.sendall(b"STARTTLS\r\nMAIL FROM:<>\r\nNOOP\r\n")  # CVE-2011-0411
        assert _read_reply(plain).startswith(b"220")
        with trusting.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b"EHLO x\r\nRCPT TO:<bob@example.com>\r\nQUIT\r\n")
            codes = [
                _read_reply(secure)[-200:].rpartition(b"\r\n")[0].rpartition(b"\n")[2][:3] for _ in range(3)
            ]
    assert codes == [b"250", b"503", b"221"]  # no MAIL was read


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"], ids=["no file", "empty", "no PEM"])
def test_a_certificate_that_cannot_be_used_is_an_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError, match=r".+"):
        tls_context(path, None)
