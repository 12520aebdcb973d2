"""What a mail asks for: the local parts of its recipients, read as commands.

`Command` is a closed union. To add a command, add a class here, and a case at each `assert_never` that then
fails to type-check.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

from quarantine.acting.offers import address_of
from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action, Ruling
from quarantine.asking.views import Cursor, View
from quarantine.mail.addresses import Address, InvalidAddress

MOST_COMMANDS: Final = 10
"""How many distinct commands one mail may hold; a mail with more is refused as a whole."""


WHOLE: Final = View()
"""What a report lists unless its request says otherwise: what is held, the newest first."""

_OLDER = "older-"
_DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """Send a report of the held mail.

    written_to: the trigger's address without suffix; the report says to write to it again.
    of: the one mailbox that it is about; None for all that the requester may see. as_administrator: whether
    that mailbox is not the requester's. view: what of it is listed.
    """

    written_to: Address
    of: Address | None = None
    as_administrator: bool = False
    view: View = WHOLE


@dataclass(frozen=True, slots=True)
class ActionCommand:
    """Do something to one held message. domain: of the address written to."""

    action: Action
    reference: Reference
    domain: str

    @property
    def written_to(self) -> Address:
        """The address, such as release-1795426200-abcdefghijklmnop@reports.example.com."""
        return address_of(self.action, self.reference, self.domain)


@dataclass(frozen=True, slots=True)
class RulingCommand:
    """Answer what a reader asked the administrators for. reference: of the ask."""

    ruling: Ruling
    reference: Reference
    domain: str

    @property
    def written_to(self) -> Address:
        """The address, such as approve-1795426200-abcdefghijklmnop@reports.example.com."""
        return address_of(self.ruling, self.reference, self.domain)


class Wish(StrEnum):
    """What a reader says about scheduled reports; without it, the administrator's schedule decides."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class WishCommand:
    """Let scheduled reports come, or not, to who writes. domain: of the address written to."""

    wish: Wish
    domain: str

    @property
    def written_to(self) -> Address:
        """The address, such as digest-off@reports.example.com."""
        return wish_address(self.wish, self.domain)


@dataclass(frozen=True, slots=True)
class DigestCommand:
    """Send a scheduled report of what is new. No mail asks for it: the digest function does.

    written_to: the trigger's address, as for a report. due_at: the time of the schedule.
    """

    written_to: Address
    due_at: datetime


type MailCommand = ReportCommand | ActionCommand | RulingCommand | WishCommand
"""What a mail can ask for."""

type Command = MailCommand | DigestCommand


def wish_address(wish: Wish, domain: str) -> Address:
    """Return the address to write to, such as digest-off@reports.example.com."""
    return Address(f"{_DIGEST}-{wish.value}", domain)


def older_address(trigger: Address, cursor: Cursor) -> Address:
    """Return the address to write to for what comes after a list: trigger+older-1795426200-1@..."""
    return Address(f"{trigger.local}+{_OLDER}{cursor}", trigger.domain)


def read_command(recipient: str, trigger: str) -> MailCommand | None:
    """Return what a mail to this envelope recipient asks for; None if we do not know its local part.

    The case of the local part and the domain do not matter, nor does a `+suffix` of the trigger (RFC 5233),
    unless it says where an earlier report goes on.
    """
    try:
        address = Address.parse(recipient)
    except InvalidAddress:
        return None
    mailbox = address.without_suffix()
    if mailbox.local == trigger:
        return ReportCommand(mailbox, view=_view(address))
    try:
        return _other_command(address)
    except ValueError:
        return None


def _other_command(address: Address) -> MailCommand | None:
    """Read an address that is not the trigger. Raises ValueError for one that is almost ours."""
    word, _, rest = address.local.partition("-")
    if word == _DIGEST:
        return WishCommand(Wish(rest), address.domain)
    if word in Action:
        return ActionCommand(Action(word), Reference.parse(rest), address.domain)
    if word in Ruling:
        return RulingCommand(Ruling(word), Reference.parse(rest), address.domain)
    return None


def _view(address: Address) -> View:
    suffix = address.local.partition("+")[2]
    try:
        return View(older=Cursor.parse(suffix.removeprefix(_OLDER))) if suffix.startswith(_OLDER) else WHOLE
    except ValueError:
        return WHOLE


def read_commands(recipients: Iterable[str], trigger: str) -> tuple[MailCommand, ...]:
    """Return the distinct commands among these envelope recipients, in their order.

    Two addresses that differ only in their domain, or in the trigger's suffix, are one command: the first.
    """
    commands: dict[object, MailCommand] = {}
    for recipient in recipients:
        match command := read_command(recipient, trigger):
            case None:
                pass
            case ReportCommand():
                commands.setdefault(ReportCommand, command)
            case ActionCommand(action, reference):
                commands.setdefault((action, reference), command)
            case RulingCommand(ruling, reference):
                commands.setdefault((ruling, reference), command)
            case WishCommand(wish):
                commands.setdefault(wish, command)
            case _:
                assert_never(command)
    return tuple(commands.values())
