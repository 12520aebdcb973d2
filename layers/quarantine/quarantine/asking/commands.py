"""What a mail asks for: the local part that it was sent to, read as a command.

`Command` is a closed union. A new command is a class here and a case wherever `assert_never` then fails to
type-check.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from quarantine.mail.addresses import Address, InvalidAddress


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """Send a report of what is held.

    written_to: the address of the trigger, without suffix, to be written to again.
    """

    written_to: Address


type Command = ReportCommand


def read_command(recipient: str, trigger: str) -> Command | None:
    """Return what a mail to this envelope recipient asks for; None when its local part is not ours.

    Neither the case of the local part counts, nor its `+suffix` (RFC 5233), nor the domain.
    """
    try:
        address = Address.parse(recipient)
    except InvalidAddress:
        return None
    mailbox = address.without_suffix()
    return ReportCommand(mailbox) if mailbox.local == trigger else None


def first_command(recipients: Iterable[str], trigger: str) -> Command | None:
    """Return the first command that a mail to these envelope recipients gives; None when it gives none."""
    commands = (read_command(recipient, trigger) for recipient in recipients)
    return next((command for command in commands if command is not None), None)
