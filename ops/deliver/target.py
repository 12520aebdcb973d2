"""Where an agent hands a mail over: a server by SMTP or LMTP, or the program sendmail."""

import os
import subprocess
from dataclasses import dataclass
from typing import Final, Self

from quarantine.release.handover import NO_REPLY, Envelope, Protocol, Reply, Server, hand_over
from quarantine.release.wire import WireMail

_SENDMAIL: Final = "/usr/sbin/sendmail"
_TIMEOUT: Final = 300  # seconds for sendmail
_ACCEPTED, _REFUSED = 250, 554


@dataclass(frozen=True, slots=True)
class Sendmail:
    """The program that each mail server installs. path: absolute."""

    path: str

    def deliver(self, envelope: Envelope, mail: WireMail) -> Reply:
        """Run it once. A sender and a recipient are arguments, and no shell reads them."""
        command = [self.path, "-i", "-f", str(envelope.sender), "--", str(envelope.recipient)]
        try:
            done = subprocess.run(  # noqa: S603 - an argument vector; the addresses come after `--`
                command, input=mail.for_a_pipe, capture_output=True, timeout=_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            return Reply(NO_REPLY, f"{type(e).__name__}: {e}")
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        match done.returncode:
            case os.EX_OK:
                return Reply(_ACCEPTED, f"{self.path} took it")
            case os.EX_DATAERR | os.EX_NOUSER | os.EX_NOHOST | os.EX_UNAVAILABLE:  # sysexits.h
                return Reply(_REFUSED, said or f"{self.path} exits with {done.returncode}")
            case code:  # EX_TEMPFAIL, a wrong set-up, a signal: nothing about the mail
                return Reply(NO_REPLY, f"{self.path} exits with {code}: {said}")


@dataclass(frozen=True, slots=True)
class Listener:
    """A server that listens for SMTP or LMTP."""

    server: Server

    def deliver(self, envelope: Envelope, mail: WireMail) -> Reply:
        return hand_over(self.server, envelope, mail)

    @classmethod
    def parse(cls, protocol: Protocol, place: str, ca_file: str | None) -> Self:
        """Read `HOST:PORT`, or for LMTP the path of a socket. Raises ValueError."""
        if protocol is Protocol.LMTP and place.startswith("/"):
            return cls(Server(protocol, place, 0))
        host, colon, port = place.rpartition(":")
        if not colon or not host or not port.isdecimal():
            raise ValueError(f"not HOST:PORT: {place!r}")
        return cls(Server(protocol, host.strip("[]"), int(port), is_tls=port == "465", ca_file=ca_file))


type Target = Listener | Sendmail


def parse_target(text: str, ca_file: str | None = None) -> Target:
    """Read `smtp:HOST:PORT`, `lmtp:HOST:PORT`, `lmtp:/PATH` or `sendmail[:PATH]`. Raises ValueError."""
    word, _, place = text.partition(":")
    if word == "sendmail":
        path = place or _SENDMAIL
        if not path.startswith("/"):
            raise ValueError(f"not an absolute path: {path!r}")
        return Sendmail(path)
    if word in Protocol:
        return Listener.parse(Protocol(word), place, ca_file)
    raise ValueError(f"not smtp:HOST:PORT, lmtp:HOST:PORT or sendmail[:PATH]: {text!r}")
