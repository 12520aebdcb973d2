"""What a mail asks for: the local parts of its recipients, read as commands.

`Command` is a closed union. To add a command, add a class here, and a case at each `assert_never` that then
fails to type-check.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, assert_never

from quarantine.acting.offers import address_of
from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action, Ruling
from quarantine.mail.addresses import Address, InvalidAddress

MOST_COMMANDS: Final = 10
"""How many distinct commands one mail may hold; a mail with more is refused as a whole."""


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """Send a report of the held mail.

    written_to: the trigger's address without suffix; the report says to write to it again.
    of: the one mailbox that it is about; None for all that the requester may see. as_administrator: whether
    that mailbox is not the requester's.
    """

    written_to: Address
    of: Address | None = None
    as_administrator: bool = False


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


type Command = ReportCommand | ActionCommand | RulingCommand


def read_command(recipient: str, trigger: str) -> Command | None:
    """Return what a mail to this envelope recipient asks for; None if we do not know its local part.

    The case of the local part and the domain do not matter, nor does a `+suffix` of the trigger (RFC 5233).
    """
    try:
        address = Address.parse(recipient)
    except InvalidAddress:
        return None
    mailbox = address.without_suffix()
    if mailbox.local == trigger:
        return ReportCommand(mailbox)
    word, _, reference = address.local.partition("-")
    try:
        if word in Action:
            return ActionCommand(Action(word), Reference.parse(reference), address.domain)
        if word in Ruling:
            return RulingCommand(Ruling(word), Reference.parse(reference), address.domain)
    except ValueError:
        return None
    return None


def read_commands(recipients: Iterable[str], trigger: str) -> tuple[Command, ...]:
    """Return the distinct commands among these envelope recipients, in their order.

    Two addresses that differ only in their domain, or in the trigger's suffix, are one command: the first.
    """
    commands: dict[object, Command] = {}
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
            case _:
                assert_never(command)
    return tuple(commands.values())
