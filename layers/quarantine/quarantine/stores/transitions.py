"""What an action changes in the quarantine table: each transition of a row is one conditional update.

Each returns the row as it is then. If that does not have the wanted status, the row was changed meanwhile,
and nothing was written: decide again.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from quarantine.acting.reference import Reference, is_code
from quarantine.acting.rules import State, state_of
from quarantine.held import HeldKey, HeldMessage, HeldStatus
from quarantine.mail.addresses import Address
from quarantine.stores import items
from quarantine.stores.items import Unreadable, Values, from_wire, readable, to_wire
from quarantine.stores.quarantine import read_message

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A row of the quarantine table, for an action.

    raw_key, etag: of the stored mail; None if it is not stored, or was not judged. lease_until: of a release.
    acted_by: who acted last: an address, or the ARN of an operator. released_for, deleted_for: the request
    that did so. returned_for: the request whose mail came back, so that the message is held again.
    """

    message: HeldMessage
    entry: str
    status: HeldStatus
    raw_key: str | None
    etag: str | None
    lease_until: datetime | None
    acted_by: str | None
    acted_at: datetime | None
    released_for: str | None
    deleted_for: str | None
    returned_for: str | None

    @property
    def key(self) -> HeldKey:
        return HeldKey(str(self.message.recipient), self.entry)

    def is_taken_by(self, request_id: str) -> bool:
        """Return whether this request delivers it now."""
        return self.status is HeldStatus.RELEASING and self.released_for == request_id

    def state(self, now: datetime) -> State:
        return state_of(self.status, self.message.expires_at, self.lease_until, now)


class Transitions:
    """unreadable: called with each row that cannot be read."""

    def __init__(self, client: "DynamoDBClient", table: str, unreadable: Unreadable) -> None:
        self._client, self._table, self._unreadable = client, table, unreadable

    def find(self, mailbox: Address, reference: Reference, now: datetime) -> HeldRow | None:
        """Return the row of a mailbox that a reference names, with a consistent read; None for none."""
        second = items.iso_seconds(reference.received_at).removesuffix("Z")  # perhaps with a fraction
        rows = self._rows(str(mailbox), second)
        # All are compared, so that the time does not say which one came close.
        named = [row for row in rows if reference.names(row.get("code")) and is_code(row.get("code"))]
        return next(readable(named, lambda row: _held_row(row, now), self._unreadable), None)

    def _rows(self, recipient: str, begin: str) -> Iterator[Values]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="recipient = :recipient AND begins_with(entry, :begin)",
            ExpressionAttributeValues=to_wire({":recipient": recipient, ":begin": begin}),
            ConsistentRead=True,
        )
        return (from_wire(item) for page in pages for item in page["Items"])

    def row(self, key: HeldKey, now: datetime) -> HeldRow | None:
        """Return a row, with a consistent read; None if it is gone."""
        found = self._client.get_item(
            TableName=self._table,
            Key=to_wire({"recipient": key.recipient, "entry": key.entry}),
            ConsistentRead=True,
        )
        rows = [from_wire(found["Item"])] if "Item" in found else []
        return next(readable(rows, lambda row: _held_row(row, now), self._unreadable), None)

    def begin_release(
        self, row: HeldRow, by: str, request_id: str, now: datetime, lease: timedelta
    ) -> HeldRow | None:
        """Take a held row for a delivery, until the lease ends: `held` -> `releasing`.

        A row that this request took before is taken again: its process died. None if the row is gone.
        """
        return self._update(
            row,
            now,
            {
                "status": HeldStatus.RELEASING,
                "lease_until": items.epoch(now + lease),
                "acted_by": by,
                "acted_at": items.iso_milliseconds(now),
                "released_for": request_id,
            },
            condition=f"({_IS_FREE} OR (#status = :releasing AND released_for = :released_for))"
            f" AND {_IS_KEPT}",
        )

    def finish_release(self, row: HeldRow, request_id: str, now: datetime) -> HeldRow | None:
        """Note that a message was handed over: `releasing` -> `released`."""
        return self._update(
            row,
            now,
            {
                "status": HeldStatus.RELEASED,
                "acted_at": items.iso_milliseconds(now),
                "released_for": request_id,
            },
            condition="#status = :releasing AND released_for = :released_for",
            removed=("lease_until",),
        )

    def undo_release(self, row: HeldRow, request_id: str, now: datetime, by: str) -> HeldRow | None:
        """Hold a message again that this request could not deliver: `releasing` -> `held`.

        by: who refused it.
        """
        return self._update(
            row,
            now,
            {"status": HeldStatus.HELD, "acted_by": by, "acted_at": items.iso_milliseconds(now)},
            condition="#status = :releasing AND released_for = :request_id",
            removed=("lease_until", "released_for"),
            request_id=request_id,
        )

    def delete(self, row: HeldRow, by: str, request_id: str, now: datetime) -> HeldRow | None:
        """Let no report list a message any more: `held` or `released` -> `deleted`."""
        return self._update(
            row,
            now,
            {
                "status": HeldStatus.DELETED,
                "acted_by": by,
                "acted_at": items.iso_milliseconds(now),
                "deleted_for": request_id,
            },
            condition=f"{_IS_FREE} OR #status = :released",
            removed=("lease_until",),
        )

    def _update(
        self,
        row: HeldRow,
        now: datetime,
        values: Mapping[str, Any],
        *,
        condition: str,
        removed: tuple[str, ...] = (),
        request_id: str | None = None,
    ) -> HeldRow | None:
        assigned = ", ".join(f"#{name} = :{name}" for name in values)
        known = {
            ":now": items.epoch(now),
            ":held": HeldStatus.HELD,
            ":releasing": HeldStatus.RELEASING,
            ":released": HeldStatus.RELEASED,
            ":request_id": request_id,
        }
        used = {name: value for name, value in known.items() if re.search(rf"{name}\b", condition)}
        try:
            response: Any = self._client.update_item(
                TableName=self._table,
                Key=to_wire({"recipient": str(row.message.recipient), "entry": row.entry}),
                UpdateExpression=f"SET {assigned}" + (f" REMOVE {', '.join(removed)}" if removed else ""),
                ConditionExpression=f"attribute_exists(entry) AND ({condition})",
                ExpressionAttributeNames={f"#{name}": name for name in values},
                ExpressionAttributeValues=to_wire({f":{name}": each for name, each in values.items()} | used),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            found = items.failed_item(e)
            return _held_row(found, now) if found else None
        return _held_row(from_wire(response["Attributes"]), now)


_IS_FREE = (
    "(#status = :held OR (#status = :releasing"
    " AND (attribute_not_exists(lease_until) OR lease_until <= :now)))"
)
_IS_KEPT = "(attribute_not_exists(expires_at) OR expires_at > :now)"


def _held_row(item: Values, now: datetime) -> HeldRow:
    raw_key, etag = item.get("raw_key"), item.get("etag")
    return HeldRow(
        message=read_message(item, now),
        entry=items.text(item["entry"]),
        status=HeldStatus(item["status"]),
        raw_key=None if raw_key is None else items.text(raw_key),
        etag=None if etag is None else items.text(etag),
        lease_until=_moment(item.get("lease_until")),
        acted_by=item.get("acted_by"),
        acted_at=items.time(item["acted_at"]) if "acted_at" in item else None,
        released_for=item.get("released_for"),
        deleted_for=item.get("deleted_for"),
        returned_for=item.get("returned_for"),
    )


def _moment(value: object) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(items.whole_number(value), UTC)
