"""The mailboxes table: what each reader was told, what they want, and when their next digest is due.

A reader is who gets a digest; their row also covers the shared mailboxes that they see. Readers who are due
are in the index `due`, spread over shards by their address, so that many may become due at the same moment.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from quarantine.asking.admission import Accepted
from quarantine.asking.commands import Wish
from quarantine.digests.news import Mark, joined
from quarantine.digests.rules import Reader
from quarantine.mail.addresses import Address
from quarantine.stores import items
from quarantine.stores.items import Unreadable, Values, from_wire, to_wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SHARDS: Final = 16
"""How many keys of the index those who are due are spread over."""

_INDEX = "due"
_MOST_ROUNDS = 5  # of writing a row that others write


@dataclass(frozen=True, slots=True)
class Due:
    """A reader in the index. due_at: the time of their schedule, in UTC."""

    reader: Address
    due_at: datetime


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """The row of a reader.

    told: how far they were told of each mailbox. due_at: None if they are not due.
    held: counts what was held for them. last_digest: the id of their last digest's request.
    told_by: the id of the request whose report told them last; told_mail: SES's id of it, told_messages: how
    many messages it told of. telling: which request tells them just now.
    wished_by: the request by which they said what they want.
    """

    reader: Reader
    told: Mapping[Address, Mark] = field(default_factory=dict)
    due_at: datetime | None = None
    held: int = 0
    version: int = 0
    last_digest: str | None = None
    told_by: str | None = None
    told_mail: str | None = None
    told_messages: int = 0
    telling: str | None = None
    wished_by: str | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """What a report tells a reader. told: how far, of each mailbox. messages: how many. mail: SES's id."""

    request_id: str
    told: Mapping[Address, Mark]
    messages: int
    mail: str | None


class TellingMeanwhile(RuntimeError):
    """Another digest is being sent to the same reader; the job must be retried."""


class UnreadableRow(RuntimeError):
    """The row of a reader cannot be read, so nothing can be said of what they were told."""


class ChangedMeanwhile(RuntimeError):
    """The row was changed between its reading and its writing: read it again."""


class Mailboxes:
    """The rows of readers. unreadable: called with each row that cannot be read."""

    def __init__(self, client: "DynamoDBClient", table: str, unreadable: Unreadable) -> None:
        self._client, self._table, self._unreadable = client, table, unreadable

    # --- Who is due ---

    def mark_due(self, reader: Address, due_at: datetime) -> None:
        """Note that something was held for a reader; make them due at that time, unless they are due.

        It costs one write.
        """
        self._update(
            reader,
            "SET due_at = if_not_exists(due_at, :due), due_shard = if_not_exists(due_shard, :shard)"
            " ADD held :one",
            {":due": items.epoch(due_at), ":shard": shard_of(reader), ":one": 1},
        )

    def make_due(self, reader: Address, due_at: datetime) -> bool:
        """Make a reader due who is not; return whether they were not."""
        return self._update(
            reader,
            "SET due_at = :due, due_shard = :shard",
            {":due": items.epoch(due_at), ":shard": shard_of(reader)},
            "attribute_not_exists(due_at)",
        )

    def due(self, shard: int, until: datetime, page: int) -> Iterator[list[Due]]:
        """Yield those of a shard who are due by a time, the longest first, in pages of at most `page`."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=_INDEX,
            KeyConditionExpression="due_shard = :shard AND due_at <= :until",
            ExpressionAttributeValues=to_wire({":shard": _shard(shard), ":until": items.epoch(until)}),
            PaginationConfig={"PageSize": page},
        )
        for found in pages:
            if read := list(items.readable(map(from_wire, found["Items"]), _due, self._unreadable)):
                yield read

    def move(self, due: Due, to: datetime, digest: str | None = None) -> bool:
        """Make a reader due at another time; return whether they still were due at the one before.

        digest: the id of the request that was made for the time before.
        """
        changed = "SET due_at = :to" + ("" if digest is None else ", last_digest = :digest")
        values: Values = {":to": items.epoch(to), ":seen": items.epoch(due.due_at)}
        if digest is not None:
            values = {**values, ":digest": digest}
        return self._update(due.reader, changed, values, "due_at = :seen")

    def not_due(self, row: MailboxRow) -> bool:
        """Take a reader off the index; return whether nothing has changed since the row was read.

        A row that says nothing else is removed: anybody's mail may have made it.
        """
        reader = row.reader
        condition, values = _quiet(row)
        if row.told or reader.wish or reader.proven_at or reader.bounced_at or row.last_digest:
            return self._update(reader.address, "REMOVE due_at, due_shard", values, condition)
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=_key(reader.address),
                ConditionExpression=f"{condition} AND attribute_not_exists(wish)"
                " AND attribute_not_exists(told) AND attribute_not_exists(proven_at)",
                ExpressionAttributeValues=to_wire(values),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    # --- Who they are ---

    def rows_of(self, readers: Sequence[Address]) -> Mapping[Address, MailboxRow]:
        """Return the rows of some readers, with consistent reads; who has none is left out."""
        found = items.batch_get(self._client, self._table, [_key(reader) for reader in readers])
        return {row.reader.address: row for row in items.readable(found, _row, self._unreadable)}

    def row(self, reader: Address) -> MailboxRow:
        """Return the row of a reader, with a consistent read; an empty one if there is none.

        Raises UnreadableRow.
        """
        response = self._client.get_item(TableName=self._table, Key=_key(reader), ConsistentRead=True)
        return self._read(reader, response.get("Item"))

    def prove(self, reader: Address, at: datetime) -> None:
        """Note that a request of the reader was accepted: the address exists, and its owner wrote to us."""
        self._update(
            reader,
            "SET proven_at = :at",
            {":at": items.epoch(at)},
            "attribute_not_exists(proven_at) OR proven_at < :at",
        )

    def wish(self, request: Accepted, wish: Wish, due_at: datetime | None) -> bool:
        """Note what a requester wants; return whether it is news. An older mail changes nothing.

        due_at: when their next digest is due if they want them.
        """
        reader = request.requester
        expression = "SET wish = :wish, wished_at = :at, wished_by = :by"
        values: Values = {
            ":wish": wish,
            ":at": items.iso_milliseconds(request.received_at),
            ":by": request.request_id,
        }
        if due_at is not None:
            expression += (
                ", due_at = if_not_exists(due_at, :due), due_shard = if_not_exists(due_shard, :shard)"
            )
            values = {**values, ":due": items.epoch(due_at), ":shard": shard_of(reader)}
        return self._update(
            reader,
            expression,
            values,
            "(attribute_not_exists(wish) OR wish <> :wish)"
            " AND (attribute_not_exists(wished_at) OR wished_at < :at)",
        )

    def bounced(self, reader: Address, at: datetime) -> None:
        """Note that a digest to the reader bounced for good, or was complained of."""
        self._update(
            reader,
            "SET bounced_at = :at",
            {":at": items.epoch(at)},
            "attribute_not_exists(bounced_at) OR bounced_at < :at",
        )

    # --- What they were told ---

    def begin_telling(self, reader: Address, request_id: str, now: datetime, lease: timedelta) -> MailboxRow:
        """Return the row for a digest, which no other digest tells until the lease ends.

        Raises TellingMeanwhile and UnreadableRow.
        """
        try:
            response = self._client.update_item(
                TableName=self._table,
                Key=_key(reader),
                UpdateExpression="SET telling = :id, telling_until = :until",
                ConditionExpression="attribute_not_exists(telling) OR telling = :id OR telling_until <= :now",
                ExpressionAttributeValues=to_wire(
                    {":id": request_id, ":now": items.epoch(now), ":until": items.epoch(now + lease)}
                ),
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            raise TellingMeanwhile(f"{request_id} waits for another digest of the same reader") from e
        return self._read(reader, response["Attributes"])

    def end_telling(self, reader: Address, request_id: str) -> None:
        """Let other digests tell the reader, after this one told nothing."""
        self._update(reader, "REMOVE telling, telling_until", {":id": request_id}, "telling = :id")

    def tell(self, row: MailboxRow, telling: Telling, *, stays_due: bool) -> None:
        """Record how far a report has told a reader, whose row was read before the report looked.

        stays_due: whether the reader is due at each time of their schedule. Any other is not due any more, if
        nothing was held for them since the row was read. Raises ChangedMeanwhile if another report has told
        them since.
        """
        reader = row.reader.address
        marks = {str(mailbox): _mark_values(mark) for mailbox, mark in {**row.told, **telling.told}.items()}
        changed = {"told": marks, "version": row.version + 1}
        if telling.mail is not None:
            changed |= {
                "told_by": telling.request_id,
                "told_mail": telling.mail,
                "told_messages": telling.messages,
            }
        expression = f"SET {', '.join(f'{name} = :{name}' for name in changed)}"
        removed = ["telling", "telling_until"] if row.telling == telling.request_id else []
        same = "version = :before" if row.version else "attribute_not_exists(version)"
        values: Values = {f":{name}": value for name, value in changed.items()}
        if row.version:
            values = {**values, ":before": row.version}
        if row.due_at is not None and not stays_due:
            quiet, more = _quiet(row)
            done = _removing(expression, [*removed, "due_at", "due_shard"])
            if self._update(reader, done, {**values, **more}, f"{same} AND {quiet}"):
                return
        if not self._update(reader, _removing(expression, removed), values, same):
            raise ChangedMeanwhile(str(reader))

    def tell_too(self, reader: Address, telling: Telling) -> None:
        """Record how far a report has told a reader whom another report has told meanwhile."""
        for _ in range(_MOST_ROUNDS):
            row = self.row(reader)
            told = {mailbox: joined(row.told.get(mailbox), mark) for mailbox, mark in telling.told.items()}
            with contextlib.suppress(ChangedMeanwhile):
                return self.tell(row, replace(telling, told=told), stays_due=True)
        raise ChangedMeanwhile(str(reader))

    # --- For an operator ---

    def find(self, reader: Address) -> Values:
        """Return a row as it is stored, with a consistent read; empty if there is none."""
        response = self._client.get_item(TableName=self._table, Key=_key(reader), ConsistentRead=True)
        row: Values = items.plain(from_wire(response.get("Item", {})))
        return row

    def remove(self, reader: Address) -> bool:
        """Delete the row of a reader; return whether there was one."""
        response = self._client.delete_item(TableName=self._table, Key=_key(reader), ReturnValues="ALL_OLD")
        return bool(response.get("Attributes"))

    def readers_told_of(self, mailbox: Address) -> Iterator[Address]:
        """Yield those whose row names a mailbox that is not their own: a scan of the table."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="attribute_exists(told.#mailbox) AND reader <> :mailbox",
            ExpressionAttributeNames={"#mailbox": str(mailbox)},
            ExpressionAttributeValues=to_wire({":mailbox": str(mailbox)}),
            ProjectionExpression="reader",
        )
        for page in pages:
            yield from (Address.parse(from_wire(item)["reader"]) for item in page["Items"])

    def forget_mailbox(self, reader: Address, mailbox: Address) -> None:
        """Remove how far a reader was told of a mailbox."""
        self._client.update_item(
            TableName=self._table,
            Key=_key(reader),
            UpdateExpression="REMOVE told.#mailbox",
            ConditionExpression="attribute_exists(reader)",
            ExpressionAttributeNames={"#mailbox": str(mailbox)},
        )

    def _update(self, reader: Address, expression: str, values: Values, condition: str | None = None) -> bool:
        """Change a row; return whether the condition held."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(reader),
                UpdateExpression=expression,
                **({"ConditionExpression": condition} if condition else {}),  # type: ignore[arg-type]
                ExpressionAttributeValues=to_wire(values),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _read(self, reader: Address, item: Any) -> MailboxRow:
        if item is None:
            return MailboxRow(Reader(reader))
        for row in items.readable([from_wire(item)], _row, self._unreadable):
            return row
        raise UnreadableRow(str(reader))


def _removing(expression: str, names: Sequence[str]) -> str:
    return f"{expression} REMOVE {', '.join(names)}" if names else expression


def shard_of(reader: Address) -> str:
    """Return the key of the index under which a reader is due."""
    return _shard(sha256(str(reader).encode()).digest()[0] % SHARDS)


def _shard(number: int) -> str:
    return f"{number:02}"


def _key(reader: Address) -> dict[str, Any]:
    return to_wire({"reader": str(reader)})


def _quiet(row: MailboxRow) -> tuple[str, Values]:
    """Return the condition that nothing was held for a reader who is due since their row was read."""
    assert row.due_at is not None, "only who is due can be taken off the index"
    due: Values = {":due": items.epoch(row.due_at)}
    if not row.held:
        return "due_at = :due AND attribute_not_exists(held)", due
    return "due_at = :due AND held = :held", {**due, ":held": row.held}


def _due(item: Values) -> Due:
    return Due(Address.parse(items.text(item["reader"])), _moment(item["due_at"]))


def _moment(value: object) -> datetime:
    return datetime.fromtimestamp(items.whole_number(value), UTC)


def _row(item: Values) -> MailboxRow:
    def moment(name: str) -> datetime | None:
        return _moment(item[name]) if name in item else None

    return MailboxRow(
        reader=Reader(
            Address.parse(items.text(item["reader"])),
            Wish(items.text(item["wish"])) if "wish" in item else None,
            moment("proven_at"),
            moment("bounced_at"),
        ),
        told={Address.parse(name): _mark(each) for name, each in item.get("told", {}).items()},
        due_at=moment("due_at"),
        held=items.whole_number(item.get("held", 0)),
        version=items.whole_number(item.get("version", 0)),
        last_digest=item.get("last_digest"),
        told_by=item.get("told_by"),
        told_mail=item.get("told_mail"),
        told_messages=items.whole_number(item.get("told_messages", 0)),
        telling=item.get("telling"),
        wished_by=item.get("wished_by"),
    )


def _mark(value: Values) -> Mark:
    listed = {name: items.time(noted_at) for name, noted_at in value.get("listed", {}).items()}
    return Mark(items.time(value["until"]), listed)


def _mark_values(mark: Mark) -> Values:
    listed = {name: items.iso_milliseconds(noted_at) for name, noted_at in mark.listed.items()}
    return {"until": items.iso_milliseconds(mark.until), **({"listed": listed} if listed else {})}
