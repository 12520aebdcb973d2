"""Which held message an action is about.

A reference stands in the addresses that a report offers: `release-1795426200-abcdefghijklmnop@...`. It finds
a message and gives no right to it: whoever writes to such an address must prove who they are, and the message
must be held for them (docs/reference.md, "Acting by mail").
"""

import re
from base64 import b32encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Final, Self

CODE_BYTES: Final = 10
"""Random bytes of a code: 80 bits, which are sixteen letters of base32."""

_CODE = re.compile(r"[a-z2-7]{16}")  # RFC 4648 6, in lower case
_REFERENCE = re.compile(r"([1-9][0-9]{0,11})-([a-z2-7]{16})")
_SHOWN = 4  # letters of a code in logs and rows
_IN_TEXT = re.compile(rf"([0-9]{{1,12}}-[a-z2-7]{{{_SHOWN}}})[a-z2-7]{{{16 - _SHOWN}}}", re.IGNORECASE)


def code_of(random: bytes) -> str:
    """Return the code that CODE_BYTES random bytes make."""
    return b32encode(random).decode().lower()


def is_code(value: object) -> bool:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def shortened(text: str) -> str:
    """Return a text with each reference in it shortened, for logs and for rows that others can read."""
    return _IN_TEXT.sub(r"\1...", text)


@dataclass(frozen=True, slots=True)
class Reference:
    """received_at: of the message, UTC, to the second. code: of its row, sixteen letters of base32."""

    received_at: datetime
    code: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<received_at in epoch seconds>-<code>`, in any case. Raises ValueError."""
        match = _REFERENCE.fullmatch(text.lower())
        if match is None:
            raise ValueError(f"not a reference: {text[:64]!a}")
        try:
            return cls(datetime.fromtimestamp(int(match[1]), UTC), match[2])
        except (OverflowError, OSError, ValueError) as e:
            raise ValueError(f"not the time of a mail: {match[1]}") from e

    def __str__(self) -> str:
        return f"{int(self.received_at.timestamp())}-{self.code}"

    def names(self, code: object) -> bool:
        """Return whether a row with this code is meant, in a time that does not depend on the code."""
        return isinstance(code, str) and compare_digest(self.code.encode(), code.encode())
