"""The quarantine table: held mail, with one row for each recipient of a mail."""

import functools
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from quarantine.acting.reference import CODE_BYTES, code_of, is_code
from quarantine.acting.rules import State, state_of
from quarantine.held import LONGEST_RETENTION, HeldKey, HeldMessage, HeldStatus, HoldReason, MailboxListing
from quarantine.holding.judging import QuarantinedMail
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import ShownHeader
from quarantine.stores import items
from quarantine.stores.items import Unreadable, Values, Wire, from_wire, readable, to_wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef

_PAGE = 200  # rows that the first query of a mailbox reads: about one report
# The attributes of a row that a report uses, and its key for the log. Reading others would only cost time.
_SHOWN = (
    *("recipient", "entry", "message_id", "received_at", "sender", "subject", "reason", "expires_at"),
    *("status", "code", "raw_key", "lease_until", "noted_at", "score"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows are read: those received since a time, and before a whole second. None for no limit."""

    since: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class HeldPage:
    """A part of a mailbox. looked_at: the number of rows that were read. more: whether others may follow."""

    messages: tuple[HeldMessage, ...]
    looked_at: int
    more: bool


class Quarantine:
    """The rows that reports list.

    unreadable: called with each row that cannot be read. longest_retention: no older row is read.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        unreadable: Unreadable,
        longest_retention: timedelta = LONGEST_RETENTION,
    ) -> None:
        self._client, self._table, self._unreadable = client, table, unreadable
        self._longest_retention = longest_retention

    def held_for(
        self, mailbox: Address, now: datetime, limit: int, span: Span | None = None
    ) -> MailboxListing:
        """Return the newest messages held for a mailbox, at most `limit`, and the number that was seen.

        The newest page is read. Older pages are read only while fewer than `limit` rows are still held, so a
        full mailbox costs no more than one page (docs/decisions/0010-count-up-to-a-page.md).
        span: those received then only.
        """
        held: list[HeldMessage] = []
        more = False
        for page in self.pages(mailbox, now, limit, span or Span()):
            held += page.messages
            if (more := page.more) and len(held) >= limit:
                break
        return MailboxListing(tuple(held[:limit]), len(held), at_least=more)

    def pages(
        self, mailbox: Address, now: datetime, size: int, span: Span, *, consistent: bool = False
    ) -> Iterator[HeldPage]:
        """Yield all messages held for a mailbox, newest first, in pages that are read when they are needed.

        Rows that are older than the longest retention have expired, and are not read even if TTL has not
        deleted them yet. size: of the first page, in rows. span: those received then only.
        """
        earliest = max(filter(None, (now - self._longest_retention, span.since)))
        if span.before is not None and span.before <= earliest:  # DynamoDB refuses such a range
            return
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "recipient = :recipient AND entry >= :earliest",
            # TTL deletes late, so expired rows are filtered here.
            # A row whose expires_at is not a number passes the filter, so that it is logged as unreadable.
            "FilterExpression": "#status IN (:held, :releasing) AND (attribute_not_exists(expires_at)"
            " OR NOT attribute_type(expires_at, :number) OR expires_at > :now)",
            "ProjectionExpression": ", ".join(f"#{name}" for name in _SHOWN),
            "ExpressionAttributeNames": {f"#{name}": name for name in _SHOWN},
            "ExpressionAttributeValues": to_wire(
                {
                    ":recipient": str(mailbox),
                    # Without its Z, so that a time with a fraction of a second sorts after it.
                    ":earliest": items.iso_seconds(earliest).removesuffix("Z"),
                    ":held": HeldStatus.HELD.value,
                    ":releasing": HeldStatus.RELEASING.value,
                    ":now": items.epoch(now),
                    ":number": "N",
                }
            ),
            "ScanIndexForward": False,
        }
        if span.before is not None:
            query["KeyConditionExpression"] = "recipient = :recipient AND entry BETWEEN :earliest AND :before"
            query["ExpressionAttributeValues"][":before"] = {
                "S": items.iso_seconds(span.before).removesuffix("Z")
            }
        if consistent:
            query["ConsistentRead"] = True
        read = functools.partial(read_message, now=now)
        rows = max(size, _PAGE)  # usually the whole mailbox
        while True:
            page = self._client.query(**query, Limit=rows)
            found = readable(map(from_wire, page.get("Items", [])), read, self._unreadable)
            more = "LastEvaluatedKey" in page
            yield HeldPage(tuple(found), page.get("ScannedCount", 0), more)
            if not more:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            rows *= 2  # few calls for many rows, without reading many more than needed


class HeldRows:
    """Writes rows, and reads them for an operator."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def put(
        self, recipient: Address, mail: QuarantinedMail, expires_at: datetime, noted_at: datetime
    ) -> bool:
        """Put the row of one recipient; return whether it is new. An existing row stays unchanged.

        So an object that is delivered again, for example after its mail was released, is not held again.
        Another object with the same Message-ID and the same second is another mail, and gets its own id.
        """
        put = functools.partial(self._put_mail, recipient, mail, expires_at, noted_at)
        known = put(mail.shown.message_id)
        if known is None:
            return True
        if known.get("raw_key") == mail.raw_key:
            return False
        own_id = _own_id(mail.shown.message_id, sha256(mail.raw_key.encode()).hexdigest())
        return put(own_id) is None

    def _put_mail(
        self,
        recipient: Address,
        mail: QuarantinedMail,
        expires_at: datetime,
        noted_at: datetime,
        message_id: str,
    ) -> Values | None:
        row = held_row(
            recipient,
            mail.shown,
            message_id,
            mail.received_at,
            mail.reason,
            expires_at,
            noted_at,
            code=new_code(),
            score=mail.score,
            size=mail.size,
            raw_key=mail.raw_key,
            etag=mail.etag,
        )
        return self.put_new(row)

    def put_new(self, row: Wire) -> Values | None:
        """Put a row; if its key exists, change nothing and return the existing row."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=row,
                ConditionExpression="attribute_not_exists(entry)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return items.failed_item(e)
        return None

    def rows_of(self, mailbox: Address) -> Iterator[Values]:
        """Yield all rows of a mailbox with any status, newest first, lazily."""
        return map(from_wire, self._queried(mailbox, "recipient = :recipient", {}))

    def others_of(self, mailbox: Address, keys: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Return which other mailboxes have a row of each of these stored mails: a scan of the table.

        A mail that no other mailbox has is not in it.
        """
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="attribute_exists(raw_key) AND recipient <> :mailbox",
            ExpressionAttributeValues=to_wire({":mailbox": str(mailbox)}),
            ProjectionExpression="raw_key, recipient",
            ConsistentRead=True,  # a row that hold has just written counts
        )
        found: dict[str, frozenset[str]] = {}
        for row in (row for page in pages for row in map(from_wire, page["Items"])):
            if row["raw_key"] in keys:
                found[row["raw_key"]] = found.get(row["raw_key"], frozenset()) | {row["recipient"]}
        return found

    def named(self, mailbox: Address, name: str) -> list[Values]:
        """Return the rows of a mailbox that a name means: their message id, or their entry."""
        return [row for row in self.rows_of(mailbox) if name in (row.get("message_id"), row["entry"])]

    def change(self, row: Values, status: HeldStatus, by: str, now: datetime) -> Values | None:
        """Give a row that rows_of returned another status, and note who did it.

        If its status has changed since it was read, change nothing and return the row as it is now.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(row),
                UpdateExpression="SET #status = :status, acted_by = :by, acted_at = :at",
                ConditionExpression="#status = :known",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_wire(
                    {
                        ":status": status,
                        ":known": row["status"],
                        ":by": by,
                        ":at": items.iso_milliseconds(now),
                    }
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return items.failed_item(e)
        return None

    def complete(self, known: Values, row: Wire, *, again: bool) -> bool:
        """Let an existing row name a stored mail and have a code, where it does not; keep what it has.

        again: also hold it again if it was released or deleted. Return whether it is held again.
        """
        revived = again and known.get("status") in (HeldStatus.RELEASED, HeldStatus.DELETED)
        missing = {"raw_key", "etag", "code"} - known.keys()
        if not revived and not missing:
            return False
        changed = {name: row[name] for name in missing}
        if revived:
            changed |= {name: row[name] for name in ("status", "expires_at", "noted_at")}
        self._client.update_item(
            TableName=self._table,
            Key=_key(known),
            UpdateExpression=f"SET {', '.join(f'#{name} = :{name}' for name in sorted(changed))}",
            ConditionExpression="attribute_exists(entry)",
            ExpressionAttributeNames={f"#{name}": name for name in changed},
            ExpressionAttributeValues={f":{name}": value for name, value in changed.items()},
        )
        return revived

    def without_code(self) -> Iterator[Values]:
        """Yield the keys of all rows that have no code: a scan of the table."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="attribute_not_exists(code)",
            ProjectionExpression="recipient, entry",
        )
        return (from_wire(item) for page in pages for item in page["Items"])

    def give_code(self, row: Values) -> bool:
        """Give a row a code; return whether it still was there and had none."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(row),
                UpdateExpression="SET code = :code",
                ConditionExpression="attribute_exists(entry) AND attribute_not_exists(code)",
                ExpressionAttributeValues=to_wire({":code": new_code()}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def remove(self, row: Values) -> None:
        """Delete a row that rows_of returned."""
        self._client.delete_item(TableName=self._table, Key=_key(row))

    def deletions_of(self, mailbox: Address, before: datetime | None) -> Iterator["WriteRequestTypeDef"]:
        """Yield a BatchWriteItem deletion for each row of a mailbox that was received before a time."""
        condition, values = "recipient = :recipient", {}
        if before is not None:
            # Without its Z, so that a time with a fraction of a second sorts after it.
            condition += " AND entry < :end"
            values = {":end": items.iso_seconds(before).removesuffix("Z")}
        for row in self._queried(mailbox, condition, values, ProjectionExpression="recipient, entry"):
            yield {"DeleteRequest": {"Key": {name: row[name] for name in ("recipient", "entry")}}}

    def _queried(
        self, mailbox: Address, condition: str, values: dict[str, str], **more: Any
    ) -> Iterator[Values]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_wire({":recipient": str(mailbox), **values}),
            ScanIndexForward=False,
            **more,
        )
        for page in pages:
            yield from page["Items"]


class Returned(StrEnum):
    """What happened to a message whose release failed."""

    NOW = "now"  # it is held again
    BEFORE = "before"  # it was held again already, because of the same release
    NOT = "not"  # it is not released by that request any more, or it is gone


class ReleasedRows:
    """The rows of released messages, as SES reports what became of the mail that released each.

    A row changes only while it names the request whose mail that was.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def confirm(self, key: HeldKey, request_id: str, at: datetime) -> bool:
        """Record that a released message was delivered; return whether the row still is of that release."""
        failed = self._update(key, request_id, "SET confirmed_at = :at", {":at": items.iso_milliseconds(at)})
        return failed is None

    def give_back(self, key: HeldKey, request_id: str, now: datetime) -> Returned:
        """Hold a message again whose release by that request failed."""
        known = self._update(
            key,
            request_id,
            "SET #status = :held, acted_by = :by, acted_at = :at, returned_for = :request"
            " REMOVE released_for, confirmed_at, lease_until",
            {":held": HeldStatus.HELD, ":by": "SES", ":at": items.iso_milliseconds(now)},
        )
        if known is None:
            return Returned.NOW
        is_ours = known.get("returned_for") == request_id and known.get("status") == HeldStatus.HELD
        return Returned.BEFORE if is_ours else Returned.NOT

    def _update(self, key: HeldKey, request_id: str, expression: str, values: Values) -> Values | None:
        """Change the row while that request has released it; else return it unchanged."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_wire({"recipient": key.recipient, "entry": key.entry}),
                UpdateExpression=expression,
                ConditionExpression="released_for = :request AND #status IN (:releasing, :released)",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_wire(
                    {
                        ":request": request_id,
                        ":releasing": HeldStatus.RELEASING,
                        ":released": HeldStatus.RELEASED,
                        **values,
                    }
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return items.failed_item(e)
        return None


def held_row(  # noqa: PLR0917 - the row's attributes
    recipient: Address,
    shown: ShownHeader,
    message_id: str,
    received_at: datetime,
    reason: HoldReason,
    expires_at: datetime,
    noted_at: datetime,
    code: str | None = None,
    score: Decimal | None = None,
    size: int | None = None,
    raw_key: str | None = None,
    etag: str | None = None,
) -> Wire:
    """Return the row of a held message. Values that are None are left out.

    noted_at: now. code: a new one, so that a user can name the message; None where a row may be written anew.
    etag: of the stored mail that was judged, so that no other is delivered in its place.
    """
    time = items.iso_seconds(received_at)
    row = {
        "recipient": {"S": str(recipient)},
        "entry": {"S": f"{time}#{message_id}"},
        "message_id": {"S": message_id},
        "received_at": {"S": time},
        "sender": {"S": shown.sender},
        "subject": {"S": shown.subject},
        "reason": {"S": reason.value},
        "status": {"S": HeldStatus.HELD.value},
        "noted_at": {"S": items.iso_milliseconds(noted_at)},
        "expires_at": {"N": str(items.epoch(expires_at))},
    }
    if code is not None:
        row["code"] = {"S": code}
    if score is not None:
        row["score"] = {"N": str(score)}
    if size is not None:
        row["size"] = {"N": str(size)}
    if raw_key is not None:
        row["raw_key"] = {"S": raw_key}
    if etag is not None:
        row["etag"] = {"S": etag}
    return row


def new_code() -> str:
    """Return a code that nobody can guess."""
    return code_of(secrets.token_bytes(CODE_BYTES))


def distinct(row: Wire, digest: str) -> Wire:
    """Return the row of a mail that has another's Message-ID, recipient and second, under an id of its own.

    digest: of what makes it another mail, 64 characters.
    """
    message_id = _own_id(row["message_id"]["S"], digest)
    entry = f"{row['received_at']['S']}#{message_id}"
    return {**row, "entry": {"S": entry}, "message_id": {"S": message_id}}


def _own_id(message_id: str, digest: str) -> str:
    return f"{message_id} {digest}"


def _key(row: Values) -> Wire:
    return to_wire({name: row[name] for name in ("recipient", "entry")})


def key_of(row: Wire) -> tuple[str, str]:
    """Return the key of a row."""
    return row["recipient"]["S"], row["entry"]["S"]


def key_of_write(request: "WriteRequestTypeDef") -> tuple[str, str]:
    """Return the key of the row that a request of BatchWriteItem puts or deletes."""
    row: Any = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
    return key_of(row)


def read_message(item: Values, now: datetime) -> HeldMessage:
    """Read a row. Raises KeyError, TypeError, ValueError or OverflowError for one that cannot be read."""
    status, expires_at = HeldStatus(item["status"]), _time_in(item, "expires_at")
    # What a held row says of an earlier release does not matter.
    lease_until = _time_in(item, "lease_until") if status is HeldStatus.RELEASING else None
    return HeldMessage(
        recipient=_mailbox(item["recipient"]),
        message_id=items.text(item["message_id"]),
        received_at=items.time(item["received_at"]),
        sender=items.text(item.get("sender", "")),
        subject=items.text(item.get("subject", "")),
        reason=HoldReason(item["reason"]),
        expires_at=expires_at,
        code=item["code"] if is_code(item.get("code")) else None,
        is_stored="raw_key" in item,
        is_releasing=state_of(status, expires_at, lease_until, now) is State.RELEASING,
        written_at=_noted_at(item),
        score=score if isinstance(score := item.get("score"), Decimal) else None,
    )


def _noted_at(item: Values) -> datetime | None:
    """Read when a row was written; None if it does not say so in a way that can be read."""
    try:
        return items.time(item["noted_at"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _time_in(item: Values, name: str) -> datetime | None:
    """Read an attribute in epoch seconds; None if the row does not have it."""
    return datetime.fromtimestamp(int(item[name]), UTC) if name in item else None


@functools.lru_cache(maxsize=16)  # all rows of a mailbox name it
def _mailbox(text: str) -> Address:
    return Address.parse(text)
