"""Handing a mail over by SMTP (RFC 5321) or LMTP (RFC 2033) to a server that trusts us.

One mail, one recipient, one transaction. What the server says is a value; so is a connection that fails.
"""

import contextlib
import ipaddress
import smtplib
import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quarantine.mail.addresses import Address
from quarantine.mail.text import clean_text, clipped
from quarantine.release.wire import WireMail

_LONGEST_TEXT: Final = 500
NO_REPLY: Final = 0
"""The code of a server that did not answer."""

_COMMANDS: Final = 8  # connection, greeting, EHLO, STARTTLS, EHLO, MAIL, RCPT, DATA; AUTH is for the relay
_LEAVE: Final = 5  # seconds for the server's answer to QUIT
_FIRST_CODE: Final = 200  # RFC 5321 4.2.1: a lower code is not an answer


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said last: an SMTP code (RFC 5321 4.2), and its text, cleaned and cut; a stranger's."""

    code: int
    text: str

    @property
    def is_accepted(self) -> bool:
        return 200 <= self.code < 300  # noqa: PLR2004 - RFC 5321 4.2.1

    @property
    def is_final(self) -> bool:
        """Whether the server will never take this mail."""
        return 500 <= self.code < 600  # noqa: PLR2004 - RFC 5321 4.2.1

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.code else self.text


class Protocol(StrEnum):
    SMTP = "smtp"
    LMTP = "lmtp"


@dataclass(frozen=True, slots=True)
class Server:
    """Where a mail is handed over. host: for LMTP also the path of a socket; then the port does not count.

    is_tls: TLS from the first byte (port 465); otherwise STARTTLS, which is required but on loopback.
    ca_file: certificates that the server's must come from; None for those of the machine.
    name: what we call ourselves. command_timeout, reply_timeout: in seconds, for a command, and for the
    answer to the mail.
    """

    protocol: Protocol
    host: str
    port: int
    is_tls: bool = False
    ca_file: str | None = None
    name: str = "localhost"
    command_timeout: float = 30
    reply_timeout: float = 180

    @property
    def longest(self) -> float:
        """The seconds after which a hand-over is over, however slow the server is."""
        to_send = to_be_answered = self.reply_timeout
        return _COMMANDS * self.command_timeout + to_send + to_be_answered

    @property
    def is_local(self) -> bool:
        """Whether nobody else can listen, so that no certificate is needed."""
        if self.host == "localhost" or self.host.startswith("/"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Envelope:
    """sender: gets the delivery report. recipient: the one mailbox."""

    sender: Address
    recipient: Address


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """A user and a password (RFC 4954)."""

    user: str
    password: str


class LoginRefused(RuntimeError):
    """The server does not take the user and password; the message is its answer."""


def hand_over(server: Server, envelope: Envelope, mail: WireMail, login: Login | None = None) -> Reply:
    """Hand a mail over; return what the server said last. Raises LoginRefused and nothing else.

    A server that cannot be reached, or that does not want us, has said nothing about the mail: NO_REPLY. Once
    it has said yes to the mail, nothing that happens later matters.
    """
    try:
        client = _client(server)
    except (smtplib.SMTPException, OSError) as e:
        return _no_reply(e)
    try:
        _secure(client, server)
        if login is not None:
            _log_in(client, login)
        return _delivered(client, server, envelope, mail)
    except smtplib.SMTPDataError as e:
        return _reply(e.smtp_code, e.smtp_error)
    except (smtplib.SMTPException, OSError) as e:
        return _no_reply(e)
    finally:
        _leave(client, min(_LEAVE, server.command_timeout))


def _no_reply(error: Exception) -> Reply:
    return Reply(NO_REPLY, _text(f"{type(error).__name__}: {error}"))


def _leave(client: smtplib.SMTP, patience: float) -> None:
    with contextlib.suppress(smtplib.SMTPException, OSError):
        _wait_at_most(client, patience)
        client.quit()
    client.close()


def _wait_at_most(client: smtplib.SMTP, seconds: float) -> None:
    if client.sock is not None:
        client.sock.settimeout(seconds)


def _client(server: Server) -> smtplib.SMTP:
    timeout = server.command_timeout
    if server.protocol is Protocol.LMTP:
        return smtplib.LMTP(server.host, server.port, local_hostname=server.name, timeout=timeout)
    if server.is_tls:
        context = _context(server)
        return smtplib.SMTP_SSL(
            server.host, server.port, local_hostname=server.name, timeout=timeout, context=context
        )
    return smtplib.SMTP(server.host, server.port, local_hostname=server.name, timeout=timeout)


def _context(server: Server) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.ca_file)
    if server.is_local:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _secure(client: smtplib.SMTP, server: Server) -> None:
    """Greet the server, and encrypt. Raises SMTPException if that is not possible where it must be."""
    client.ehlo_or_helo_if_needed()
    if server.is_tls or server.host.startswith("/"):
        return
    if client.has_extn("starttls"):
        client.starttls(context=_context(server))
        client.ehlo_or_helo_if_needed()
    elif not server.is_local:
        raise smtplib.SMTPNotSupportedError(f"{server.host} offers no STARTTLS, so nothing was sent")


def _log_in(client: smtplib.SMTP, login: Login) -> None:
    try:
        client.login(login.user, login.password)
    except smtplib.SMTPAuthenticationError as e:
        raise LoginRefused(str(_reply(e.smtp_code, e.smtp_error))) from e


def _delivered(client: smtplib.SMTP, server: Server, envelope: Envelope, mail: WireMail) -> Reply:
    reply = _reply(*client.mail(str(envelope.sender), _options(client, mail)))
    if not reply.is_accepted:
        return reply
    reply = _reply(*client.rcpt(str(envelope.recipient)))
    if not reply.is_accepted:
        return reply
    _wait_at_most(client, server.reply_timeout)
    # smtplib stuffs the dots at the begin of each line, and here every LF ends one.
    return _reply(*client.data(mail.content))


def _options(client: smtplib.SMTP, mail: WireMail) -> list[str]:
    options = []
    if client.has_extn("size"):  # RFC 1870
        options.append(f"SIZE={len(mail.content)}")
    if client.has_extn("8bitmime") and not mail.is_seven_bit:  # RFC 6152
        options.append("BODY=8BITMIME")
    return options


def _reply(code: int, text: bytes | str) -> Reply:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return Reply(code if code >= _FIRST_CODE else NO_REPLY, _text(said))


def _text(said: str) -> str:
    return clipped(clean_text(said), _LONGEST_TEXT)
