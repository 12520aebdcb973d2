"""Relaying: a released mail goes to one of the company's own servers, behind its filter."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quarantine.acting.ways import WayBack
from quarantine.release.handover import (
    NO_REPLY,
    Envelope,
    Login,
    LoginRefused,
    Protocol,
    Reply,
    Server,
    hand_over,
)
from quarantine.release.wire import WireMail
from quarantine.settings import ActSettings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


_TLS_PORT = 465  # RFC 8314 3.3


class UnreadableSecret(RuntimeError):
    """The secret does not say a user and a password; the message names it, and never repeats it."""


@dataclass
class Secret:
    """The login in Secrets Manager, read once per process. The secret is JSON: username and password."""

    client: "SecretsManagerClient"
    arn: str
    _known: Login | None = field(default=None, repr=False)

    def login(self) -> Login:
        """Raises UnreadableSecret, and errors of botocore."""
        if self._known is None:
            self._known = self._read()
        return self._known

    def forget(self) -> None:
        """Read it again next time: it may have been rotated."""
        self._known = None

    def _read(self) -> Login:
        text = self.client.get_secret_value(SecretId=self.arn).get("SecretString", "")
        try:
            match json.loads(text):
                case {"username": str(user), "password": str(password)}:
                    return Login(user, password)
        except ValueError:
            pass
        raise UnreadableSecret(f"not JSON with username and password: {self.arn}")


@dataclass(frozen=True)
class Relay:
    """secret: None for a server that knows us by our address."""

    server: Server
    secret: Secret | None
    hand_over: Callable[[Server, Envelope, WireMail, Login | None], Reply] = hand_over

    def deliver(self, envelope: Envelope, mail: WireMail) -> Reply:
        """Hand a mail over. A login that is refused is read again once, and says nothing about the mail."""
        if self.secret is None:
            return self.hand_over(self.server, envelope, mail, None)
        try:
            return self.hand_over(self.server, envelope, mail, self.secret.login())
        except LoginRefused:
            self.secret.forget()
        try:
            return self.hand_over(self.server, envelope, mail, self.secret.login())
        except LoginRefused as e:
            self.secret.forget()
            return Reply(NO_REPLY, f"the login was refused: {e}")


def relay_of(settings: ActSettings, connect: "Callable[[], SecretsManagerClient]") -> Relay | None:
    """Return the relay of a stack; None for a stack with another way back."""
    if settings.relay is None or settings.way is not WayBack.RELAY:
        return None
    host, port = settings.relay
    server = Server(
        Protocol.SMTP,
        host,
        port,
        is_tls=port == _TLS_PORT,
        name=settings.reports_domain,
        # A server that says nothing is given up long before act's timeout.
        command_timeout=10,
        reply_timeout=45,
    )
    return Relay(server, Secret(connect(), settings.secret_arn) if settings.secret_arn else None)
