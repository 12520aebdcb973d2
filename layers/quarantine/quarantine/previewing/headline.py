"""Who a message says it is from, and its subject: cleaned, defanged and cut."""

from dataclasses import dataclass

from quarantine.mail.lenient import Sender, parse_sender
from quarantine.mail.links import defanged
from quarantine.mail.text import clean_text, clipped

_LONGEST_NAME, _LONGEST_SUBJECT = 80, 200  # characters


@dataclass(frozen=True, slots=True)
class Headline:
    """The sender and the subject that a message claims; safe to show, and not as links.

    claims_address: whether the sender's name looks like an address. subject: "" if there is none.
    """

    sender: Sender
    claims_address: bool
    subject: str


def headline_of(sender: str, subject: str) -> Headline:
    """Return the headline of hostile text. sender: as `field_sender` reads it. subject: decoded."""
    said = parse_sender(sender)
    return Headline(
        Sender(clipped(defanged(said.name), _LONGEST_NAME), defanged(said.address)),
        said.claims_address,
        clipped(defanged(clean_text(subject)), _LONGEST_SUBJECT),
    )
