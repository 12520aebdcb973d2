"""The three tables: items to values and back, and the conditions under which a row may change.

An item that cannot be read is skipped with a logged error: it hides nothing but itself and accepts nothing.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, assert_never

from aws_lambda_powertools import Logger
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from quarantine.addresses import Address, InvalidAddress
from quarantine.admission import AuthRecord, Method, Refusal, Refused, RelayRecord, principals
from quarantine.report import HeldMessage, Holding, HoldReason
from quarantine.request import ReportRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RETENTION_OF_REQUESTS = timedelta(days=30)
_AUTH = "auth"
_RELAY = "relay#"
_PAGE = 200  # rows that the first query of a mailbox reads: about one report's worth
# Of a row: what a report shows, and its key, for the log. The rest would only be parsed.
_SHOWN = ("recipient", "entry", "message_id", "received_at", "sender", "subject", "reason", "expires_at")

type Item = Mapping[str, Any]


class RequestStatus(StrEnum):
    """Where a request stands; the last four are final."""

    ACCEPTED = "accepted"  # a job for report is on the queue, or will be
    SENDING = "sending"  # report is at it, until the lease is over
    REFUSED = "refused"  # no report; `reason` is the refusal
    SENT = "sent"  # SES took the report
    EMPTY = "empty"  # nothing is held
    FAILED = "failed"  # SES will never take this report; `reason` is its error


class UnknownRequest(ValueError):
    """A job names a request that intake never accepted."""


class Senders:
    """Who may ask: auth records and relay records."""

    def __init__(self, client: "DynamoDBClient", table: str, log: Logger) -> None:
        self._client, self._table, self._log = client, table, log

    def facts_for(self, requester: Address) -> tuple[tuple[AuthRecord, ...], Iterator[RelayRecord]]:
        """Return the auth and the relay records that can count for the requester, the most specific first.

        An auth record that cannot be read still stands before the more general ones, and accepts nothing.
        The networks are read as they are asked for: not at all where the auth records decide.
        """
        found: dict[str, list[Item]] = {principal: [] for principal in principals(requester)}
        for item in self._records(tuple(found)):
            found[item["principal"]].append(item)
        items = [item for records in found.values() for item in records]
        auth = tuple(self._auth_record(item) for item in items if item["record"] == _AUTH)
        relays = (item for item in items if item["record"].startswith(_RELAY))
        return auth, _readable(relays, _relay_record, self._log)

    def _records(self, principals: Sequence[str]) -> Iterator[Item]:
        """Yield all records of some principals, in one read of as many partitions.

        No other read takes in several partitions, and a condition on the partition key is no scan; the
        function's policy denies one (docs/decisions/0013-one-read.md).
        """
        condition = " OR ".join(['"principal" = ?'] * len(principals))
        query: dict[str, Any] = {
            "Statement": f'SELECT * FROM "{self._table}" WHERE {condition}',  # noqa: S608 - a setting
            "Parameters": [_serialize(principal) for principal in principals],
            "ConsistentRead": True,  # what an operator denies is denied from now on
        }
        while True:
            page = self._client.execute_statement(**query)
            yield from map(_plain, page["Items"])
            if not page.get("NextToken"):
                return
            query["NextToken"] = page["NextToken"]

    def _auth_record(self, item: Item) -> AuthRecord:
        principal = item["principal"]
        deny = item.get("deny", False) is not False  # what is no clear `false` denies
        try:
            accept = frozenset(Method(word) for word in _string_set(item, "accept"))
        except ValueError as e:
            _log_unreadable(self._log, item, e)
            return AuthRecord(principal, deny=deny)
        return AuthRecord(principal, accept, deny, tuple(self._mailboxes(item)))

    def _mailboxes(self, item: Item) -> Iterator[Address]:
        try:
            for mailbox in sorted(_string_set(item, "mailboxes")):
                yield Address.parse(mailbox)
        except ValueError as e:
            _log_unreadable(self._log, item, e)


class Quarantine:
    """What is held, for whom."""

    def __init__(self, client: "DynamoDBClient", table: str, log: Logger) -> None:
        self._client, self._table, self._log = client, table, log

    def held_for(self, mailbox: Address, now: datetime, limit: int) -> Holding:
        """Return the newest messages held for a mailbox, at most `limit`, and how many were seen.

        The newest page is read, and older ones only while rows that are held no more leave it short of
        `limit`: a full mailbox costs what a page does (docs/decisions/0010-count-up-to-a-page.md).
        """
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "recipient = :recipient",
            # TTL deletes late: what has expired is filtered here.
            # What has an expires_at that is no number is let through, to be seen and logged.
            "FilterExpression": "#status = :held AND (attribute_not_exists(expires_at)"
            " OR NOT attribute_type(expires_at, :number) OR expires_at > :now)",
            "ProjectionExpression": ", ".join(f"#{name}" for name in _SHOWN),
            "ExpressionAttributeNames": {f"#{name}": name for name in (*_SHOWN, "status")},
            "ExpressionAttributeValues": _item(
                {":recipient": str(mailbox), ":held": "held", ":now": _epoch(now), ":number": "N"}
            ),
            "ScanIndexForward": False,
        }
        rows = max(limit, _PAGE)  # mostly all there is
        held: list[HeldMessage] = []
        while True:
            page = self._client.query(**query, Limit=rows)
            held += _readable(map(_plain, page.get("Items", [])), _held_message, self._log)
            more = "LastEvaluatedKey" in page
            if not more or len(held) >= limit:
                return Holding(tuple(held[:limit]), len(held), at_least=more)
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            rows *= 2  # few calls through many rows, and never much more read than is needed


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request is new, or was accepted before and not yet taken up: its job belongs on the queue."""


@dataclass(frozen=True, slots=True)
class CoolingDown:
    """The requester had a report within the cooldown; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Known:
    """The request was decided before, and nothing is left to do for it."""

    status: RequestStatus


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request. messages: how many were seen to be held; reason: SES's error, of a failure."""

    status: RequestStatus
    messages: int
    ses_message_id: str | None = None
    reason: str | None = None


class Claim(StrEnum):
    """What report may do with a request."""

    MINE = "mine"  # it is ours until the lease is over
    BUSY = "busy"  # another has it: come again when its lease is over
    DONE = "done"  # it is settled


class Requests:
    """What was asked, and what came of it: one row a request, one a cooldown."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def accept(
        self, request: ReportRequest, evidence: Mapping[str, str], now: datetime, cooldown: timedelta
    ) -> Admitted | CoolingDown | Known:
        """Record an accepted request and start its cooldown, both or neither."""
        row = {
            "request_id": request.request_id,
            "requester": str(request.requester),
            "status": RequestStatus.ACCEPTED,
            "detail": request.accepted_by,
            "evidence": dict(evidence),
            "received_at": _iso(request.received_at),
            "decided_at": _iso(now),
            "expires_at": _epoch(now + RETENTION_OF_REQUESTS),
        }
        cooling = {"request_id": f"cooldown#{request.requester}", "expires_at": _epoch(now + cooldown)}
        try:
            self._client.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": _item(row),
                            "ConditionExpression": "attribute_not_exists(request_id)",
                            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                        }
                    },
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": _item(cooling),
                            "ConditionExpression": "attribute_not_exists(request_id) OR expires_at <= :now",
                            "ExpressionAttributeValues": _item({":now": _epoch(now)}),
                        }
                    },
                ]
            )
        except self._client.exceptions.TransactionCanceledException as e:
            match [reason.get("Code") for reason in e.response["CancellationReasons"]]:
                case ["ConditionalCheckFailed", _]:
                    status = _status(e.response["CancellationReasons"][0]["Item"])
                    return Admitted() if status is RequestStatus.ACCEPTED else Known(status)
                case ["None", "ConditionalCheckFailed"]:
                    return CoolingDown()
                case _:  # a conflict with another transaction: the event comes again
                    raise
        return Admitted()

    def refuse(
        self,
        request_id: str,
        refused: Refused,
        evidence: Mapping[str, str],
        received_at: datetime,
        now: datetime,
    ) -> Known | None:
        """Record a refusal; a request that report has taken up, or that is settled, is Known and stays.

        So does an accepted one that is refused for its own cooldown.
        """
        row = {
            "request_id": request_id,
            "status": RequestStatus.REFUSED,
            "reason": refused.reason,
            "detail": refused.detail,
            "evidence": dict(evidence),
            "received_at": _iso(received_at),
            "decided_at": _iso(now),
            "expires_at": _epoch(now + RETENTION_OF_REQUESTS),
        } | ({"requester": str(refused.requester)} if refused.requester else {})
        # An operator may have denied the requester between two deliveries of the same event.
        replaced = "none" if refused.reason is Refusal.TOO_SOON else RequestStatus.ACCEPTED
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_item(row),
                ConditionExpression="attribute_not_exists(request_id) OR #status = :replaced",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=_item({":replaced": replaced}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return Known(_status(_item_of(e)))
        return None

    def claim(self, request_id: str, now: datetime, lease: timedelta) -> Claim:
        """Take a request for the time of a lease. Raises UnknownRequest."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_item({"request_id": request_id}),
                UpdateExpression="SET #status = :sending, lease_until = :until",
                ConditionExpression="#status = :accepted OR (#status = :sending AND lease_until <= :now)",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=_item(
                    {
                        ":accepted": RequestStatus.ACCEPTED,
                        ":sending": RequestStatus.SENDING,
                        ":now": _epoch(now),
                        ":until": _epoch(now + lease),
                    }
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return _claim_of_other(request_id, e)
        return Claim.MINE

    def settle(self, request_id: str, outcome: Outcome, now: datetime) -> None:
        """Record what came of a claimed request."""
        told = {
            "messages": outcome.messages,
            "ses_message_id": outcome.ses_message_id,
            "reason": outcome.reason,
            "finished_at": _iso(now),
        }
        self._leave(
            request_id, outcome.status, {name: value for name, value in told.items() if value is not None}
        )

    def give_back(self, request_id: str, reason: str) -> None:
        """Let go of a claimed request that cannot be served now: its job's next delivery may claim it."""
        self._leave(request_id, RequestStatus.ACCEPTED, {"reason": reason})

    def _leave(self, request_id: str, status: RequestStatus, attributes: Mapping[str, str | int]) -> None:
        assignments = ["#status = :status", *(f"{name} = :{name}" for name in attributes)]
        outdated = {"lease_until", "reason"} - attributes.keys()
        self._client.update_item(
            TableName=self._table,
            Key=_item({"request_id": request_id}),
            UpdateExpression=f"SET {', '.join(assignments)} REMOVE {', '.join(sorted(outdated))}",
            ConditionExpression="#status = :sending",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=_item(
                {":status": status, ":sending": RequestStatus.SENDING}
                | {f":{name}": value for name, value in attributes.items()}
            ),
        )


def _status(item: Mapping[str, Any]) -> RequestStatus:
    return RequestStatus(_plain(item)["status"])


def _item_of(error: ClientError) -> dict[str, Any]:
    """Return the item at which a condition failed (ReturnValuesOnConditionCheckFailure); empty for none."""
    response: dict[str, Any] = {**error.response}
    return dict(response.get("Item", {}))


def _claim_of_other(request_id: str, error: ClientError) -> Claim:
    item = _item_of(error)
    if not item:
        raise UnknownRequest(f"no accepted request {request_id}") from error
    status = _status(item)
    match status:
        case RequestStatus.SENDING:
            return Claim.BUSY
        case RequestStatus.REFUSED | RequestStatus.SENT | RequestStatus.EMPTY | RequestStatus.FAILED:
            return Claim.DONE
        case RequestStatus.ACCEPTED:  # it was free a moment ago: the next delivery takes it
            return Claim.BUSY
        case _:
            assert_never(status)


def _relay_record(item: Item) -> RelayRecord:
    # Canonical CIDR only: a network with host bits set, or a mask for its length, could mean another one.
    network = item["record"].removeprefix(_RELAY)
    _, slash, length = network.partition("/")
    if slash and not length.isdigit():
        raise ValueError(f"no prefix length: {network!r}")
    return RelayRecord(item["principal"], ip_network(network))


def _held_message(item: Item) -> HeldMessage:
    return HeldMessage(
        recipient=_mailbox(item["recipient"]),
        message_id=_text(item["message_id"]),
        received_at=_time(_text(item["received_at"])),
        sender=_text(item.get("sender", "")),
        subject=_text(item.get("subject", "")),
        reason=HoldReason(item["reason"]),
        expires_at=datetime.fromtimestamp(int(item["expires_at"]), UTC) if "expires_at" in item else None,
    )


@functools.lru_cache(maxsize=16)  # all rows of a mailbox name it
def _mailbox(text: str) -> Address:
    return Address.parse(text)


def _readable[T](items: Iterable[Item], read: Callable[[Item], T], log: Logger) -> Iterator[T]:
    for item in items:
        try:
            yield read(item)
        except (KeyError, ValueError, TypeError, OverflowError, AttributeError, OSError) as e:
            _log_unreadable(log, item, e)


def _log_unreadable(log: Logger, item: Item, error: Exception) -> None:
    keys = {name: item[name] for name in ("principal", "record", "recipient", "entry") if name in item}
    log.error("a record cannot be read", record=keys, error=f"{type(error).__name__}: {error}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r:.80}")
    return value


def _string_set(item: Item, name: str) -> Iterable[str]:
    if not isinstance(value := item.get(name, set()), set) or not all(
        isinstance(each, str) for each in value
    ):
        raise InvalidAddress(f"{name} is no set of texts")
    return value


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _epoch(time: datetime) -> int:
    return int(time.timestamp())


_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def _item(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _serialize(value) for name, value in values.items()}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}
