"""How a released message comes back to its mailbox (the parameter ReleaseBy)."""

import hashlib
import re
from base64 import b32encode
from enum import StrEnum
from typing import Final


class WayBack(StrEnum):
    """The ways of a released message. A stack uses one."""

    ATTACHMENT = "attachment"  # SES sends our mail with the message attached
    RELAY = "relay"  # by SMTP, to a server of the company behind its filter
    AGENT = "agent"  # a program beside the company's mail server takes it from a queue


_BOUNCE: Final = "bounce-"
_CODE: Final = re.compile(rf"{_BOUNCE}([a-z2-7]{{16}})")


def bounce_code(code: str, request_id: str) -> str:
    """Return the letters in the envelope sender of a released message.

    code: of the message. Only those who know it, and the servers that handle the mail, can know the letters.
    """
    digest = hashlib.sha256(f"{code} {request_id}".encode()).digest()
    return b32encode(digest[:10]).decode().lower()


def bounce_local_part(code: str) -> str:
    """Return the local part of the envelope sender, such as `bounce-abcdefghijklmnop`."""
    return f"{_BOUNCE}{code}"


def read_bounce_code(local_part: str) -> str | None:
    """Return the letters of such a local part; None for any other."""
    found = _CODE.fullmatch(local_part.lower())
    return found[1] if found else None
