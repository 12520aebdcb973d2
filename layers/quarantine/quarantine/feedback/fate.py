"""What became of a mail, and which report about it counts more than another."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from quarantine.feedback.event import Sending, SendingEvent


class Fate(StrEnum):
    """What became of a mail, as the row of its request says it."""

    DELAYED = "delayed"  # the recipient's mail server has not accepted it yet; SES goes on trying
    DELIVERED = "delivered"  # the recipient's mail server accepted it
    COMPLAINED = "complained"  # it was delivered, and the recipient called it spam
    BOUNCED = "bounced"  # the recipient's mail server refused it, or returned it later
    REJECTED = "rejected"  # SES found a virus in it and did not send it


@dataclass(frozen=True, slots=True)
class Report:
    """What an event says became of its mail. rank: it replaces only what has a lower one.

    So the order in which events come does not matter, nor how often each comes.
    """

    fate: Fate
    rank: int


def report_of(event: SendingEvent) -> Report:
    match event.kind:
        case Sending.DELAY:
            return Report(Fate.DELAYED, 1)
        case Sending.BOUNCE if not event.is_permanent:  # after a delivery, it is an automatic reply
            return Report(Fate.BOUNCED, 2)
        case Sending.DELIVERY:
            return Report(Fate.DELIVERED, 3)
        case Sending.COMPLAINT:
            return Report(Fate.COMPLAINED, 4)
        case Sending.BOUNCE:  # also after a delivery: a server may return later what it accepted
            return Report(Fate.BOUNCED, 5)
        case Sending.REJECT:
            return Report(Fate.REJECTED, 6)
        case _:
            assert_never(event.kind)
