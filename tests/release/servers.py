"""Mail servers that do as a test says, on 127.0.0.1."""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What a lenient server may take for the end of a mail, beside CRLF dot CRLF (CVE-2023-51764 to 51766).
ENDS = tuple(
    begin + b"." + end
    for begin in (b"\r\n", b"\n", b"\r", b"\r\n\0")
    for end in (b"\r\n", b"\n", b"\r")
    if begin + b"." + end != b"\r\n.\r\n" and (b"\0" not in begin or end == b"\r\n")
)
_STRICT = re.compile(rb"\r\n\.\r\n")
_LENIENT = re.compile(rb"|".join(re.escape(end) for end in (b"\r\n.\r\n", *ENDS)))

DROP = b""
"""An answer of a server that closes the connection instead; None is one that says nothing."""


@dataclass(slots=True)
class MailServer:
    """replies: what it says instead of yes, by the first word of a command, or `mail` for the mail itself.

    mails: envelope sender, recipient and content of each that it accepted, dots as they came.
    """

    replies: dict[str, bytes | None] = field(default_factory=dict)
    extensions: tuple[bytes, ...] = (b"8BITMIME", b"SIZE 50000000")
    certificate: Path | None = None
    is_lenient: bool = False
    mails: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    port: int = 0

    def serve(self, connection: socket.socket) -> None:
        session = _Session(self, connection)
        with contextlib.suppress(OSError, _Closed):
            session.run()
        session.connection.close()


class _Closed(Exception):
    """The connection is over."""


@dataclass
class _Session:
    server: MailServer
    connection: socket.socket
    buffer: bytes = b""
    sender: bytes = b""
    recipient: bytes = b""

    def run(self) -> None:
        self._say("connect", b"220 test")
        commands: Mapping[bytes, Callable[[bytes], None]] = {
            b"EHLO": self._greet,
            b"LHLO": self._greet,
            b"STARTTLS": self._encrypt,
            b"AUTH": lambda _: self._answer("AUTH", b"235 welcome"),
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"QUIT": self._quit,
        }
        while True:
            line = self._until(re.compile(rb"\r\n"))
            self.server.commands.append(line)
            word = line.split()[0].upper() if line.split() else b""
            commands.get(word, self._unknown)(line)

    def _say(self, word: str, otherwise: bytes) -> bool:
        """Answer a command; return whether with the usual answer."""
        reply = self.server.replies.get(word, otherwise)
        if reply is None:
            while self.connection.recv(65536):  # until the client loses patience
                pass
            raise _Closed
        if reply == DROP:
            raise _Closed
        self.connection.sendall(reply + b"\r\n")
        return reply == otherwise

    def _unknown(self, _: bytes) -> None:
        self._say("unknown", b"500 what?")

    def _answer(self, word: str, otherwise: bytes) -> None:
        self._say(word, otherwise)

    def _greet(self, _: bytes) -> None:
        lines = [b"test", *self.server.extensions]
        if self.server.certificate and not isinstance(self.connection, ssl.SSLSocket):
            lines.append(b"STARTTLS")
        text = [b"250-" + line for line in lines[:-1]] + [b"250 " + lines[-1]]
        self._say("EHLO", b"\r\n".join(text))

    def _encrypt(self, _: bytes) -> None:
        if self._say("STARTTLS", b"220 go on"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(str(self.server.certificate))
            self.connection = context.wrap_socket(self.connection, server_side=True)

    def _mail(self, line: bytes) -> None:
        self.sender = line
        self._say("MAIL", b"250 ok")

    def _rcpt(self, line: bytes) -> None:
        self.recipient = line
        self._say("RCPT", b"250 ok")

    def _data(self, _: bytes) -> None:
        if not self._say("DATA", b"354 go on"):
            return
        self.buffer = b"\r\n" + self.buffer
        content = self._until(_LENIENT if self.server.is_lenient else _STRICT)
        usual = b"250 queued as 1"
        if self.server.replies.get("mail", usual) == usual:
            self.server.mails.append((self.sender, self.recipient, content[2:] + b"\r\n"))
        self._say("mail", usual)

    def _quit(self, _: bytes) -> None:
        self._say("QUIT", b"221 bye")
        raise _Closed

    def _until(self, end: re.Pattern[bytes]) -> bytes:
        while (found := end.search(self.buffer)) is None:
            more = self.connection.recv(65536)
            if not more:
                raise _Closed
            self.buffer += more
        text, self.buffer = self.buffer[: found.start()], self.buffer[found.end() :]
        return text


@contextlib.contextmanager
def running(server: MailServer) -> Iterator[MailServer]:
    """Let a server listen until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        listener.settimeout(0.05)
        stopping = threading.Event()

        def accept() -> None:
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    connection.settimeout(10)
                    threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server
        finally:
            stopping.set()
            thread.join()
