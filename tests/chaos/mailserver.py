"""A mail server that takes mail, refuses it, says nothing, and takes it without saying so.

It is a real one, on a socket: what the ways back make of its answers is part of what is tested.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random

from quarantine.release.deliverable import RELEASED
from quarantine.release.handover import Envelope, Login, Protocol, Reply, Server, hand_over
from quarantine.release.wire import WireMail
from tests.release.servers import DROP, MailServer

_RELEASED_FOR = re.compile(rf"{RELEASED}: ([^;\s]+);".encode())
_PATIENCE = 0.02  # seconds, with a server that says nothing


class Mood(StrEnum):
    """What a server does with a mail."""

    YES = "yes"
    YES_AND_DROP = "yes, then the connection drops"
    LATER = "4xx"
    LATER_AFTER_THE_MAIL = "4xx after the mail"
    NO = "5xx"
    NO_AFTER_THE_MAIL = "5xx after the mail"
    NO_LOGIN = "535"
    AWAY = "no connection"
    SILENT = "nothing"
    DROPS = "drops the connection in the mail"
    TAKES_AND_DROPS = "takes the mail, and drops the connection before it says so"


_REPLIES: dict[Mood, dict[str, bytes | None]] = {
    Mood.YES: {},
    Mood.YES_AND_DROP: {"QUIT": DROP},
    Mood.LATER: {"RCPT": b"451 later"},
    Mood.LATER_AFTER_THE_MAIL: {"mail": b"452 later"},
    Mood.NO: {"RCPT": b"550 no"},
    Mood.NO_AFTER_THE_MAIL: {"mail": b"554 no"},
    Mood.NO_LOGIN: {"AUTH": b"535 no"},
    Mood.AWAY: {"connect": DROP},
    Mood.SILENT: {"MAIL": None},
    Mood.DROPS: {"mail": DROP},
    Mood.TAKES_AND_DROPS: {"mail": DROP},
}
_WEIGHTS = {Mood.YES: 70, Mood.LATER: 6, Mood.SILENT: 1}  # 3 for any other


@dataclass(frozen=True, slots=True)
class Delivered:
    """A mail that the server took. name: of the held message in it."""

    recipient: str
    name: str


@dataclass(slots=True)
class Moody:
    """The server. is_away: of the time; then it takes nothing.

    took: called with the request of each mail that the server said yes to. unheard: how many of a
    request's mails it took and did not say so.
    """

    server: MailServer
    rng: Random
    is_away: Callable[[], bool]
    took: Callable[[str], None]
    is_calm: bool = False
    mails: defaultdict[str, list[Delivered]] = field(default_factory=lambda: defaultdict(list))
    unheard: Counter[str] = field(default_factory=Counter)
    moods: Counter[Mood] = field(default_factory=Counter)

    def hand_over(
        self, _: Server | None, envelope: Envelope, mail: WireMail, login: Login | None = None
    ) -> Reply:
        """Hand a mail over to this server, whatever server is named. Raises LoginRefused."""
        mood = self._mood()
        self.moods[mood] += 1
        self.server.replies = _REPLIES[mood]
        at = Server(Protocol.SMTP, "127.0.0.1", self.server.port, reply_timeout=10)
        if mood is Mood.SILENT:
            at = replace(at, command_timeout=_PATIENCE)
        before = len(self.server.mails)
        reply = hand_over(at, envelope, mail, login)
        for _sender, recipient, content in self.server.mails[before:]:
            request_id = self._keep(recipient.decode(), content)
            self.took(request_id)
        if mood is Mood.TAKES_AND_DROPS:
            self.unheard[self._keep(f"RCPT TO:<{envelope.recipient}>", mail.content)] += 1
        return reply

    def deliver(self, envelope: Envelope, mail: WireMail) -> Reply:
        """As the target of an agent."""
        return self.hand_over(None, envelope, mail)

    def _mood(self) -> Mood:
        if self.is_calm:
            return Mood.YES
        if self.is_away():
            return Mood.AWAY
        return self.rng.choices(list(Mood), [_WEIGHTS.get(mood, 3) for mood in Mood])[0]

    def _keep(self, command: str, content: bytes) -> str:
        released_for, name = _RELEASED_FOR.search(content), re.search(rb"body-(m\d+)", content)
        assert released_for is not None
        assert name is not None
        request_id = released_for[1].decode()
        recipient = command.partition("<")[2].partition(">")[0]
        self.mails[request_id].append(Delivered(recipient, name[1].decode()))
        return request_id
