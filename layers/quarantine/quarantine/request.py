"""A request that was accepted, and its JSON: the one contract between intake and report."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from quarantine.addresses import Address

LOOP_MARKER = "X-Quarantine-Report"  # the field that each report of ours carries, and no request may

_VERSION = 1


class MalformedJob(ValueError):
    """The text is no report request; the message says where."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Who may have a report, of which mailboxes, and how it is threaded under their mail.

    request_id: the SES message id of the mail that asked.
    requester: its From address: where the report goes, and nowhere else.
    mailboxes: whose held mail is listed: the requester first, then aliases and shared mailboxes.
    trigger: the address that was written to, and can be written to again.
    received_at: when SES took the mail, UTC.
    accepted_by: the method and the record that accepted it, in words, for the operator.
    utc_offset: of the requester's clock, from the Date field; zero when that is missing or unreadable.
    message_id, references: of the mail that asked, msg-ids (RFC 5322 3.6.4); None and empty when unusable.
    """

    request_id: str
    requester: Address
    mailboxes: tuple[Address, ...]
    trigger: Address
    received_at: datetime
    accepted_by: str = ""
    utc_offset: timedelta = timedelta()
    message_id: str | None = None
    references: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": _VERSION,
                "request_id": self.request_id,
                "requester": str(self.requester),
                "mailboxes": [str(mailbox) for mailbox in self.mailboxes],
                "trigger": str(self.trigger),
                "received_at": self.received_at.isoformat(),
                "accepted_by": self.accepted_by,
                "utc_offset_minutes": self.utc_offset // timedelta(minutes=1),
                "message_id": self.message_id,
                "references": list(self.references),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises MalformedJob for anything else."""
        try:
            job = json.loads(text)
            if job["version"] != _VERSION:
                raise MalformedJob(f"version {job['version']!r}, not {_VERSION}")
            return cls(
                request_id=_text(job["request_id"]),
                requester=Address.parse(_text(job["requester"])),
                mailboxes=tuple(Address.parse(mailbox) for mailbox in _texts(job["mailboxes"])),
                trigger=Address.parse(_text(job["trigger"])),
                received_at=_time(job["received_at"]),
                accepted_by=_text(job["accepted_by"]),
                utc_offset=timedelta(minutes=job["utc_offset_minutes"]),
                message_id=None if job["message_id"] is None else _text(job["message_id"]),
                references=tuple(_texts(job["references"])),
            )
        except KeyError as e:
            raise MalformedJob(f"no {e}") from e
        except (TypeError, ValueError, OverflowError, RecursionError) as e:
            raise MalformedJob(str(e)) from e


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedJob(f"not a text: {value!r}")
    return value


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise MalformedJob(f"a time without its zone: {value}")
    return time.astimezone(UTC)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise MalformedJob(f"not a list: {value!r}")
    return [_text(each) for each in value]
