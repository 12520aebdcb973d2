"""What act and an agent tell each other: a pointer to a message to deliver, and what became of it.

An agent works beside a mail server that trusts it, so it checks a pointer before it follows it. Act believes
a result only of a request that waits for one. Both are JSON that names its version and its kind.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from quarantine.holding.contract import PREFIX
from quarantine.holding.filters.family import Family
from quarantine.mail.addresses import Address
from quarantine.mail.text import clean_text, clipped
from quarantine.release.deliverable import ReleaseTrace

_VERSION: Final = 1
_LONGEST_TEXT: Final = 500


class MalformedPointer(ValueError):
    """The text is not a pointer. request_id: whose it says to be, if that can be read."""

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class MalformedResult(ValueError):
    """The text is not a result; the message says why."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A stored mail to deliver. etag: of the bytes that were judged; None for an old row.

    sender: the envelope sender. families: the filters whose marks are removed. until: nobody delivers it
    later, because the message may be held again then.
    """

    request_id: str
    bucket: str
    key: str
    etag: str | None
    sender: Address
    recipient: Address
    families: frozenset[Family]
    released_at: datetime
    until: datetime

    @property
    def trace(self) -> ReleaseTrace:
        return ReleaseTrace(self.request_id, self.released_at)

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": _VERSION,
                "kind": "release",
                "request_id": self.request_id,
                "bucket": self.bucket,
                "key": self.key,
                "etag": self.etag,
                "sender": str(self.sender),
                "recipient": str(self.recipient),
                "families": sorted(self.families),
                "released_at": self.released_at.isoformat(),
                "until": self.until.isoformat(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises MalformedPointer and no other exception."""
        values = _object(text)
        if values is None:
            raise MalformedPointer(f"not JSON: {text[:200]!a}")
        request_id = values.get("request_id")
        if not isinstance(request_id, str):
            raise MalformedPointer("it names no request")
        try:
            return cls._read(request_id, values)
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise MalformedPointer(f"{type(e).__name__}: {e}", request_id) from e

    @classmethod
    def _read(cls, request_id: str, values: Mapping[str, Any]) -> Self:
        if (values["version"], values["kind"]) != (_VERSION, "release"):
            raise ValueError(f"version {values['version']!r:.80}, kind {values['kind']!r:.80}")
        pointer = cls(
            request_id=request_id,
            bucket=_text(values["bucket"]),
            key=_text(values["key"]),
            etag=None if values["etag"] is None else _text(values["etag"]),
            sender=Address.parse(_text(values["sender"])),
            recipient=Address.parse(_text(values["recipient"])),
            families=frozenset(map(Family, values["families"])),
            released_at=_time(values["released_at"]),
            until=_time(values["until"]),
        )
        ReleaseTrace(
            pointer.request_id, pointer.released_at
        )  # raises ValueError for an id that no field can carry
        return pointer


def fault_of(pointer: Pointer, bucket: str, domains: frozenset[str], now: datetime) -> str | None:
    """Return why an agent must not follow a pointer; None if it may.

    bucket: its own. domains: of the mailboxes that its mail server serves.
    """
    if pointer.bucket != bucket:
        return f"the mail is in another bucket: {pointer.bucket:.80}"
    if not pointer.key.startswith(PREFIX) or not {".", ".."}.isdisjoint(pointer.key.split("/")):
        return f"the key is not under {PREFIX}: {pointer.key:.200}"
    if pointer.recipient.domain not in domains:
        return f"this agent does not deliver to {pointer.recipient.domain}"
    if now >= pointer.until:
        return f"it was to be delivered until {pointer.until.isoformat(timespec='seconds')}"
    return None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a pointer. code, text: of the mail server, or of the agent; a stranger's.

    is_repaired: as of WireMail. receipt: the handle of the pointer's message, so that act can delete it, too:
    the agent may die before it does.
    """

    request_id: str
    code: int
    text: str
    is_repaired: bool = False
    receipt: str = ""

    @property
    def is_accepted(self) -> bool:
        return 200 <= self.code < 300  # noqa: PLR2004 - RFC 5321 4.2.1

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": _VERSION,
                "kind": "result",
                "request_id": self.request_id,
                "code": self.code,
                "text": self.text,
                "is_repaired": self.is_repaired,
                "receipt": self.receipt,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises MalformedResult and no other exception. The text of a result is cleaned and cut."""
        match _object(text):
            case {
                "version": version,
                "kind": "result",
                "request_id": str(request_id),
                "code": int(code),
                "text": str(said),
                "is_repaired": bool(is_repaired),
                "receipt": str(receipt),
            } if version == _VERSION and not isinstance(code, bool):
                return cls(request_id, code, clipped(clean_text(said), _LONGEST_TEXT), is_repaired, receipt)
            case _:
                raise MalformedResult(f"not a result: {text[:200]!a}")


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r:.80}")
    return value


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.utcoffset() is None:
        raise ValueError(f"a time without an offset: {value!r:.80}")
    return time.astimezone(UTC)
