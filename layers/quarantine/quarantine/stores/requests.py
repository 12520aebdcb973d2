"""The requests table: the requests and their outcomes. One row per request, and one per cooldown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from botocore.exceptions import ClientError

from quarantine.asking.admission import Accepted, Refusal, Refused
from quarantine.asking.commands import Command, ReportCommand
from quarantine.asking.replying import ReplyContext
from quarantine.mail.addresses import Address
from quarantine.stores import items
from quarantine.stores.items import Values, from_wire, to_wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RETENTION_OF_REQUESTS = timedelta(days=30)
_COOLDOWN = "cooldown#"


class RequestStatus(StrEnum):
    """The status of a request; the last four are final."""

    ACCEPTED = "accepted"  # a job for report is on the queue, or will be
    SENDING = "sending"  # report is working on it, until the lease expires
    REFUSED = "refused"  # no report; `reason` is the refusal
    SENT = "sent"  # SES accepted the report
    EMPTY = "empty"  # nothing is held
    FAILED = "failed"  # SES will never accept this report; `reason` is its error


class CommandWord(StrEnum):
    """The word for a command in a row."""

    REPORT = "report"


class UnknownRequest(ValueError):
    """A job names a request that intake never accepted, or that is for another command."""


class UnreadableRequest(ValueError):
    """The row of a request cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Cooldown:
    """How long an address may not ask again after its request was accepted."""

    requester: Address
    time: timedelta


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request is new, or was accepted before and not yet claimed: its job must be queued."""


@dataclass(frozen=True, slots=True)
class CoolingDown:
    """The cooldown is not over; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Known:
    """The request was decided before, and needs no further work."""

    status: RequestStatus


@dataclass(frozen=True, slots=True)
class Claimed:
    """The request may be served until the lease expires, with the data that intake recorded."""

    request: Accepted


@dataclass(frozen=True, slots=True)
class Busy:
    """Another process serves the request: retry when its lease has expired."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The request is final already."""


type Claim = Claimed | Busy | Settled


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a request. messages: the number of held messages seen; reason: SES's error, if any."""

    status: RequestStatus
    messages: int
    ses_message_id: str | None = None
    reason: str | None = None


class Requests:
    """The rows of requests, and the conditions under which they may change."""

    def __init__(self, client: "DynamoDBClient", table: str, trigger: Address | None = None) -> None:
        """trigger: the address written to, for older rows that do not store it."""
        self._client, self._table, self._trigger = client, table, trigger

    def accept(
        self, request: Accepted, evidence: Mapping[str, str], now: datetime, cooldown: Cooldown
    ) -> Admitted | CoolingDown | Known:
        """Record an accepted request and start a cooldown: both or neither."""
        row = {
            "request_id": request.request_id,
            "command": _word(request.command),
            "requester": str(request.requester),
            "mailboxes": {str(mailbox) for mailbox in request.mailboxes},
            "asked": _asked(request),
            "status": RequestStatus.ACCEPTED,
            "detail": request.accepted_by,
            "evidence": dict(evidence),
            "received_at": items.iso_milliseconds(request.received_at),
            "decided_at": items.iso_milliseconds(now),
            "expires_at": items.epoch(now + RETENTION_OF_REQUESTS),
        }
        cooling = {
            "request_id": f"{_COOLDOWN}{cooldown.requester}",
            "expires_at": items.epoch(now + cooldown.time),
        }
        try:
            self._client.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": to_wire(row),
                            "ConditionExpression": "attribute_not_exists(request_id)",
                            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                        }
                    },
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": to_wire(cooling),
                            "ConditionExpression": "attribute_not_exists(request_id) OR expires_at <= :now",
                            "ExpressionAttributeValues": to_wire({":now": items.epoch(now)}),
                        }
                    },
                ]
            )
        except self._client.exceptions.TransactionCanceledException as e:
            match [reason.get("Code") for reason in e.response["CancellationReasons"]]:
                case ["ConditionalCheckFailed", _]:
                    status = RequestStatus(from_wire(e.response["CancellationReasons"][0]["Item"])["status"])
                    return Admitted() if status is RequestStatus.ACCEPTED else Known(status)
                case ["None", "ConditionalCheckFailed"]:
                    return CoolingDown()
                case _:  # a conflict with another transaction: Lambda retries the event
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
        """Record a refusal; a request that report claimed or settled is Known and stays unchanged.

        An accepted request that is refused because of its own cooldown stays unchanged too.
        """
        row = {
            "request_id": request_id,
            "status": RequestStatus.REFUSED,
            "reason": refused.reason,
            "detail": refused.detail,
            "evidence": dict(evidence),
            "received_at": items.iso_milliseconds(received_at),
            "decided_at": items.iso_milliseconds(now),
            "expires_at": items.epoch(now + RETENTION_OF_REQUESTS),
        } | ({"requester": str(refused.requester)} if refused.requester else {})
        # An operator may have denied the requester between two deliveries of the same event.
        replaced = "none" if refused.reason is Refusal.TOO_SOON else RequestStatus.ACCEPTED
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_wire(row),
                ConditionExpression="attribute_not_exists(request_id) OR #status = :replaced",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_wire({":replaced": replaced}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return Known(RequestStatus(items.failed_item(e)["status"]))
        return None

    def claim_report(self, request_id: str, now: datetime, lease: timedelta) -> Claim:
        """Claim a request for a report, for the duration of a lease.

        Raises UnknownRequest, and UnreadableRequest for a row that cannot be served.
        """
        try:
            response = self._client.update_item(
                TableName=self._table,
                Key=to_wire({"request_id": request_id}),
                UpdateExpression="SET #status = :sending, lease_until = :until",
                ConditionExpression="(attribute_not_exists(command) OR command = :report)"  # none: an old row
                " AND (#status = :accepted OR (#status = :sending AND lease_until <= :now))",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_wire(
                    {
                        ":report": CommandWord.REPORT,
                        ":accepted": RequestStatus.ACCEPTED,
                        ":sending": RequestStatus.SENDING,
                        ":now": items.epoch(now),
                        ":until": items.epoch(now + lease),
                    }
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return _claim_of_other(request_id, e)
        return Claimed(self._accepted(from_wire(response["Attributes"])))

    def _accepted(self, row: Values) -> Accepted:
        try:
            return _read_accepted(row, self._trigger)
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise UnreadableRequest(f"{row['request_id']}: {type(e).__name__}: {e}") from e

    def settle(self, request_id: str, outcome: Outcome, now: datetime) -> None:
        """Record the outcome of a claimed request."""
        attributes = {
            "messages": outcome.messages,
            "ses_message_id": outcome.ses_message_id,
            "reason": outcome.reason,
            "finished_at": items.iso_milliseconds(now),
        }
        self._leave(
            request_id,
            outcome.status,
            {name: value for name, value in attributes.items() if value is not None},
        )

    def give_back(self, request_id: str, reason: str) -> None:
        """Release a claimed request that cannot be served now: the next delivery of its job may claim it."""
        self._leave(request_id, RequestStatus.ACCEPTED, {"reason": reason})

    def _leave(self, request_id: str, status: RequestStatus, attributes: Mapping[str, str | int]) -> None:
        assignments = ["#status = :status", *(f"{name} = :{name}" for name in attributes)]
        outdated = {"lease_until", "reason"} - attributes.keys()
        self._client.update_item(
            TableName=self._table,
            Key=to_wire({"request_id": request_id}),
            UpdateExpression=f"SET {', '.join(assignments)} REMOVE {', '.join(sorted(outdated))}",
            ConditionExpression="#status = :sending",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=to_wire(
                {":status": status, ":sending": RequestStatus.SENDING}
                | {f":{name}": value for name, value in attributes.items()}
            ),
        )

    # --- For an operator ---

    def find(self, request_id: str) -> Values:
        """Return a row with a consistent read; empty if there is none."""
        response = self._client.get_item(
            TableName=self._table, Key=to_wire({"request_id": request_id}), ConsistentRead=True
        )
        row: Values = items.plain(from_wire(response.get("Item", {})))
        return row

    def cooldown_until(self, requester: Address) -> datetime:
        """Return when an address may ask again; a time in the past if it may ask now."""
        until = self.find(f"{_COOLDOWN}{requester}").get("expires_at", 0)
        return datetime.fromtimestamp(items.whole_number(until), UTC)

    def of_requester(self, requester: Address, since: datetime | None) -> Iterator[Values]:
        """Yield the requests of an address, newest first."""
        begin = since.replace(tzinfo=None).isoformat(timespec="milliseconds") if since else "0"
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="by_requester",
            KeyConditionExpression="requester = :requester AND received_at >= :since",
            ExpressionAttributeValues=to_wire({":requester": str(requester), ":since": begin}),
            ScanIndexForward=False,
        )
        for page in pages:
            yield from (items.plain(from_wire(item)) for item in page["Items"])

    def all(self) -> Iterator[Values]:
        """Yield all requests in undefined order: a scan of the table."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="NOT begins_with(request_id, :cooldown)",
            ExpressionAttributeValues=to_wire({":cooldown": _COOLDOWN}),
        )
        for page in pages:
            yield from (items.plain(from_wire(item)) for item in page["Items"])


def _word(command: Command) -> CommandWord:
    match command:
        case ReportCommand():
            return CommandWord.REPORT
        case _:
            assert_never(command)


def _asked(request: Accepted) -> Values:
    return {
        "written_to": str(request.command.written_to),
        "utc_offset_minutes": request.reply.utc_offset // timedelta(minutes=1),
        "message_id": request.reply.message_id,
        "references": list(request.reply.references),
    }


def _read_accepted(row: Values, trigger: Address | None) -> Accepted:
    """Read a row. A row of the version before has neither mailboxes nor a command."""
    requester = Address.parse(items.text(row["requester"]))
    others = {Address.parse(mailbox) for mailbox in items.text_set(row, "mailboxes")} - {requester}
    asked = row.get("asked", {})
    written_to = Address.parse(items.text(asked["written_to"])) if "written_to" in asked else trigger
    if written_to is None:
        raise ValueError("no address that was written to")
    message_id = asked.get("message_id")
    return Accepted(
        request_id=items.text(row["request_id"]),
        requester=requester,
        mailboxes=(requester, *sorted(others)),
        command=ReportCommand(written_to),
        received_at=items.time(row["received_at"]),
        accepted_by=items.text(row.get("detail", "")),
        reply=ReplyContext(
            utc_offset=timedelta(minutes=items.whole_number(asked.get("utc_offset_minutes", 0))),
            message_id=None if message_id is None else items.text(message_id),
            references=tuple(items.text(each) for each in asked.get("references", [])),
        ),
    )


def _claim_of_other(request_id: str, error: ClientError) -> Claim:
    row = items.failed_item(error)
    if "status" not in row:  # no row, or a cooldown
        raise UnknownRequest(f"no accepted request {request_id}") from error
    if row.get("command", CommandWord.REPORT) != CommandWord.REPORT:
        raise UnknownRequest(f"the request {request_id} is not for a report") from error
    status = RequestStatus(row["status"])
    match status:
        case RequestStatus.SENDING:
            return Busy()
        case RequestStatus.REFUSED | RequestStatus.SENT | RequestStatus.EMPTY | RequestStatus.FAILED:
            return Settled()
        case RequestStatus.ACCEPTED:  # it became free a moment ago: the next delivery claims it
            return Busy()
        case _:
            assert_never(status)
