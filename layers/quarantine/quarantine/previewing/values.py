"""What a preview says of a mail. All texts were written by its sender; they are cleaned, defanged and cut."""

from dataclasses import dataclass
from enum import StrEnum

from quarantine.mail.lenient import Sender


class CannotBeShown(StrEnum):
    """Why a stored mail has no preview."""

    TOO_DEEP = "too_deep"  # its parts are nested too deeply
    TOO_MANY_PARTS = "too_many_parts"
    UNREADABLE = "unreadable"  # a library failed at it
    FAILED = "failed"  # to read it failed before; it is not tried again


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """name: "" if it has none. media_type: such as application/pdf. size: in bytes, decoded; about."""

    name: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class AttachedMessage:
    """A mail within the mail; it is not opened. size: in bytes."""

    sender: Sender
    subject: str
    size: int


@dataclass(frozen=True, slots=True)
class Preview:
    """lines: of the text. shown, whole: bytes of text that are shown, and that there are, about; UTF-8.

    to, cc, date: as the mail has them. unlisted: how many files and messages more there are.
    """

    sender: Sender
    claims_address: bool
    to: str
    cc: str
    date: str
    subject: str
    lines: tuple[str, ...]
    shown: int
    whole: int
    files: tuple[AttachedFile, ...]
    messages: tuple[AttachedMessage, ...]
    unlisted: int = 0

    @property
    def is_cut(self) -> bool:
        return self.shown < self.whole
