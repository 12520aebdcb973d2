"""What a mail asks for: the local part of its recipient, read as a command.

`Command` is a closed union. To add a command, add a class here, and a case at each `assert_never` that then
fails to type-check.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from quarantine.mail.addresses import Address, InvalidAddress


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """Send a report of the held mail.

    written_to: the trigger's address without suffix; the report says to write to it again.
    """

    written_to: Address


type Command = ReportCommand


def read_command(recipient: str, trigger: str) -> Command | None:
    """Return what a mail to this envelope recipient asks for; None if we do not know its local part.

    The case of the local part, its `+suffix` (RFC 5233) and the domain do not matter.
    """
    try:
        address = Address.parse(recipient)
    except InvalidAddress:
        return None
    mailbox = address.without_suffix()
    return ReportCommand(mailbox) if mailbox.local == trigger else None


def first_command(recipients: Iterable[str], trigger: str) -> Command | None:
    """Return the first command among these envelope recipients; None if there is none."""
    commands = (read_command(recipient, trigger) for recipient in recipients)
    return next((command for command in commands if command is not None), None)
