"""The requests table: the requests and their outcomes. One row per request, and one per cooldown."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from random import uniform
from time import sleep
from typing import TYPE_CHECKING, Any, assert_never

from botocore.exceptions import ClientError

from quarantine.acting.answers import Answer
from quarantine.acting.orders import Order
from quarantine.acting.reference import Reference, shortened
from quarantine.acting.rules import Action, Ruling
from quarantine.asking.admission import Accepted, Refusal, Refused
from quarantine.asking.commands import (
    WHOLE,
    ActionCommand,
    Command,
    DigestCommand,
    ReportCommand,
    RulingCommand,
    Wish,
    WishCommand,
)
from quarantine.asking.replying import ReplyContext
from quarantine.asking.views import Cursor, View
from quarantine.feedback.event import SendingEvent
from quarantine.feedback.fate import report_of
from quarantine.feedback.tags import MailKind
from quarantine.held import HeldKey
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.domains import normalise_domain
from quarantine.stores import counters, items
from quarantine.stores.items import Values, from_wire, to_wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RETENTION_OF_REQUESTS = timedelta(days=30)
_ATTEMPTS = 12  # at a transaction: three seconds at most, a part of intake's timeout
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.4  # seconds
_BOUNCE = "bounce#"  # begins the key of what remembers whose release a delivery report is about
# Refusals that may be the doing of the request itself, at an earlier delivery.
_BY_ITS_OWN = frozenset({Refusal.REPLAYED, Refusal.TOO_SOON, Refusal.TOO_MUCH})


class RequestStatus(StrEnum):
    """The status of a request; the last five are final."""

    ACCEPTED = "accepted"  # its job is on the queue, or will be
    SENDING = "sending"  # report or act is working on it, until the lease expires
    REFUSED = "refused"  # nothing is done; `reason` is the refusal
    SENT = "sent"  # SES accepted the report
    EMPTY = "empty"  # nothing is held
    DONE = "done"  # the action was done and answered; `answer` says how
    FAILED = "failed"  # SES will never accept this mail; `reason` is its error


class CommandWord(StrEnum):
    """The word for a command in a row; that of an action is its own."""

    REPORT = "report"
    PREVIEW = Action.PREVIEW.value
    RELEASE = Action.RELEASE.value
    DELETE = Action.DELETE.value
    ASK = Action.ASK.value
    APPROVE = Ruling.APPROVE.value
    REFUSE = Ruling.REFUSE.value
    BOUNCE = "bounce"  # a delivery report about a released message
    DIGEST = "digest"  # a scheduled report, which the digest function asks for
    DIGEST_ON = "digest-on"
    DIGEST_OFF = "digest-off"


_WISHES = {Wish.ON: CommandWord.DIGEST_ON, Wish.OFF: CommandWord.DIGEST_OFF}
_REPORTS = frozenset({CommandWord.REPORT, CommandWord.DIGEST})
_ACTIONS = frozenset({*(CommandWord(each.value) for each in (*Action, *Ruling)), *_WISHES.values()})
_ASKS_PER_HOUR = 20  # of a mailbox: each is a mail to every administrator


class UnknownRequest(ValueError):
    """A job names a request that intake never accepted, or that is for another command."""


class UnreadableRequest(ValueError):
    """The row of a request cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a mailbox and a domain may ask for. A mailbox is an address without its suffix (RFC 5233).

    cooldown: from one accepted report of a mailbox to its next. reports, actions: how many of each a mailbox
    may have accepted in a clock hour. domain: the same for all requests of a domain. 0 for no limit.
    """

    cooldown: timedelta
    reports: int = 0
    domain: int = 0
    actions: int = 0

    @property
    def of_mailbox(self) -> Mapping[counters.Kind, int]:
        return {
            counters.Kind.REPORTS: self.reports,
            counters.Kind.ACTIONS: self.actions,
            counters.Kind.ASKS: _ASKS_PER_HOUR if self.actions else 0,
        }


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request is new, or was accepted before and not yet claimed: its job must be queued."""


@dataclass(frozen=True, slots=True)
class CoolingDown:
    """The mailbox's cooldown is not over; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class SeenBefore:
    """A mail that only DKIM proves was accepted before; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A mailbox or a domain made all the requests that it may in this hour; nothing was recorded."""

    limited: str
    limit: int


@dataclass(frozen=True, slots=True)
class Known:
    """The request was decided before, and needs no further work."""

    status: RequestStatus


@dataclass(frozen=True, slots=True)
class Claimed:
    """The request may be served until the lease expires, with the data that intake recorded.

    attempt: 1 for the first claim; more if a process died or failed while it served the request.
    held: the message that it is about, if a process noted it. waited: for an agent, in vain.
    """

    request: Accepted | Order
    attempt: int = 1
    held: HeldKey | None = None
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Busy:
    """Another process serves the request: retry when its lease has expired."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An agent may deliver the message until then: look again when it is over."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """The request is final already."""


type Admission = Admitted | Known | SeenBefore | CoolingDown | Exhausted


type Claim = Claimed | Busy | Waiting | Settled


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a request. messages: the number of held messages seen; reason: SES's error, if any."""

    status: RequestStatus
    messages: int
    ses_message_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """The outcome of an action. answer: None for one that is refused; then `reason` is the refusal.

    reason: otherwise SES's error, if any. held: the message that it is about, if one was found.
    """

    status: RequestStatus
    answer: Answer | None = None
    held: HeldKey | None = None
    ses_message_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Bounce:
    """A delivery report that says that the release of a request failed. detail: a stranger's words."""

    request_id: str
    of_request: str
    received_at: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Concerned:
    """The request that an event of SES is about.

    is_new: its row did not say so yet. requester: None where it is not an address, as an operator is not.
    held: the message that it released; None if it released none.
    """

    is_new: bool
    requester: Address | None
    held: HeldKey | None


class Telling(StrEnum):
    """Whether a requester may be told now that a release failed."""

    BEGUN = "begun"  # by this process, until the lease expires
    BUSY = "busy"  # another process does it: retry when its lease has expired
    DONE = "done"  # they were told, or the request is gone


class Requests:
    """The rows of requests, and the conditions under which each may change.

    trigger: what a row names that was written before rows kept the address written to.
    pause: waits for some seconds before a transaction is tried again that met another one.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        trigger: Address | None = None,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self._client, self._table, self._trigger, self._pause = client, table, trigger, pause

    def accept(
        self, requests: Sequence[Accepted], evidence: Mapping[str, str], now: datetime, limits: Limits
    ) -> tuple[Admission, ...]:
        """Record the accepted requests of one mail, count them and start the mailbox's cooldown.

        One transaction records all that may be recorded; each of the others gets its own admission. Where
        several things forbid a request, the first in the order of `Admission` is returned.
        """
        found: dict[str, Admission] = {}
        while waiting := [request for request in requests if request.request_id not in found]:
            found |= self._accept(waiting, evidence, now, limits)
        return tuple(found[request.request_id] for request in requests)

    def _accept(
        self, requests: Sequence[Accepted], evidence: Mapping[str, str], now: datetime, limits: Limits
    ) -> Mapping[str, Admission]:
        """Record all of these requests, or none; then return the admissions of those that prevented it."""
        ids = [request.request_id for request in requests]
        replays = {
            request.request_id: request.replay_key for request in requests if request.replay_key is not None
        }
        mailbox = requests[0].requester.without_suffix()
        limited = [each.request_id for each in requests if _kind(each.command) is not None]
        counts = Counter(kind for request in requests if (kind := _kind(request.command)) is not None)
        # In the order of Admission: the writes of a step, and what each means if its condition fails.
        steps: list[tuple[Sequence[counters.Write], Callable[[int, Values], Mapping[str, Admission]]]] = [
            (
                [counters.new_row(_row(request, evidence, now)) for request in requests],
                lambda place, item: {ids[place]: _known(item)},
            ),
            (
                [counters.remembered(key, now) for key in replays.values()],
                lambda place, _: {list(replays)[place]: SeenBefore()},
            ),
            (
                [
                    counters.mailbox_count(
                        mailbox,
                        now,
                        limits.cooldown,
                        counts,
                        limits.of_mailbox,
                        cools=any(map(_cools, requests)),
                    )
                ]
                if counts
                else [],
                lambda _, item: _over_limit(requests, item, now, limits),
            ),
            (
                [counters.domain_count(mailbox, now, counts.total(), limits.domain)]
                if limits.domain and counts
                else [],
                lambda *_: dict.fromkeys(limited, Exhausted(mailbox.domain, limits.domain)),
            ),
        ]
        failed = self._transact([write for writes, _ in steps for write in writes])
        if not failed:
            return dict.fromkeys(ids, Admitted())
        first = 0
        for writes, meaning in steps:
            places = range(first, first + len(writes))
            if own := [meaning(place - first, failed[place]) for place in places if place in failed]:
                return {request_id: each for admissions in own for request_id, each in admissions.items()}
            first += len(writes)
        raise AssertionError("a condition failed that no write has")

    def _transact(self, writes: Sequence[counters.Write]) -> Mapping[int, Values]:
        """Write all items or none; return the places of those whose condition fails, with what is there.

        A write that meets another transaction on the same item is tried again: so are the requests of one
        domain that come at the same moment.
        """
        transaction = [
            {kind: {"TableName": self._table, **write}} for each in writes for kind, write in each.items()
        ]
        for attempt in count():
            try:
                self._client.transact_write_items(TransactItems=transaction)  # type: ignore[arg-type]
            except self._client.exceptions.TransactionCanceledException as e:
                reasons = e.response["CancellationReasons"]
                codes = [reason.get("Code") for reason in reasons]
                # First: a condition that fails beside it may be that of another delivery of the same event.
                if "TransactionConflict" in codes and attempt < _ATTEMPTS - 1:
                    self._pause(backoff(attempt))
                elif "ConditionalCheckFailed" in codes and "TransactionConflict" not in codes:
                    return {
                        place: from_wire(reasons[place].get("Item") or {})
                        for place, code in enumerate(codes)
                        if code == "ConditionalCheckFailed"
                    }
                else:
                    raise  # the event comes again
            else:
                return {}
        raise AssertionError("the loop has no end")

    def refuse(
        self,
        request_id: str,
        refused: Refused,
        evidence: Mapping[str, str],
        received_at: datetime,
        now: datetime,
    ) -> Known | None:
        """Record a refusal; a request that report claimed or settled is Known and stays unchanged.

        So does an accepted one that is refused because it was accepted: for its own cooldown, say.
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
        replaced = "none" if refused.reason in _BY_ITS_OWN else RequestStatus.ACCEPTED
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

    def record_digest(self, request: Accepted, now: datetime) -> Admitted | Known:
        """Record a digest, whose id names its reader and its time, once; its job must then be queued."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_wire(_row(request, {}, now)),
                ConditionExpression="attribute_not_exists(request_id)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return _known(items.failed_item(e))
        return Admitted()

    def open_since(self, request_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return which of these requests are not final, and when each was recorded; with consistent reads."""
        keys = [to_wire({"request_id": each}) for each in request_ids]
        return {
            row["request_id"]: items.time(row["decided_at"])
            for row in items.batch_get(self._client, self._table, keys)
            if row.get("status") in {RequestStatus.ACCEPTED, RequestStatus.SENDING}
        }

    def order(self, order: Order) -> None:
        """Record what an operator orders, as an accepted request; its job must be queued."""
        row = {
            "request_id": order.request_id,
            "command": CommandWord(order.action.value),
            "requester": order.operator,
            "by_operator": True,
            "mailboxes": {str(order.mailbox)},
            "asked": {"reference": str(order.reference)},
            "status": RequestStatus.ACCEPTED,
            "received_at": items.iso_milliseconds(order.ordered_at),
            "decided_at": items.iso_milliseconds(order.ordered_at),
            "expires_at": items.epoch(order.ordered_at + RETENTION_OF_REQUESTS),
        }
        self._client.put_item(
            TableName=self._table,
            Item=to_wire(row),
            ConditionExpression="attribute_not_exists(request_id)",
        )

    def claim_report(self, request_id: str, now: datetime, lease: timedelta) -> Claim:
        """Claim a request for a report, for the duration of a lease.

        Raises UnknownRequest, and UnreadableRequest for a row that cannot be served.
        """
        return self._claim(request_id, now, lease, _REPORTS)

    def claim_action(self, request_id: str, now: datetime, lease: timedelta) -> Claim:
        """Claim a request for an action. Raises as claim_report."""
        return self._claim(request_id, now, lease, _ACTIONS)

    def _claim(
        self, request_id: str, now: datetime, lease: timedelta, commands: AbstractSet[CommandWord]
    ) -> Claim:
        words = {f":command{number}": word for number, word in enumerate(sorted(commands))}
        wanted = f"command IN ({', '.join(words)})"
        if CommandWord.REPORT in commands:  # an old row names no command
            wanted = f"(attribute_not_exists(command) OR {wanted})"
        try:
            response = self._client.update_item(
                TableName=self._table,
                Key=to_wire({"request_id": request_id}),
                UpdateExpression="SET #status = :sending, lease_until = :until ADD attempts :one",
                ConditionExpression=f"{wanted}"
                " AND (#status = :accepted OR (#status = :sending AND lease_until <= :now"
                " AND (attribute_not_exists(settling_until) OR settling_until <= :now)))",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_wire(
                    {
                        **words,
                        ":one": 1,
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
            return _claim_of_other(request_id, e, commands, now)
        row = from_wire(response["Attributes"])
        return self._claimed(row, waited="waits_until" in row)

    def _claimed(self, row: Values, *, waited: bool) -> Claim:
        try:
            attempt = items.whole_number(row["attempts"])
            request = _read_order(row) if is_order(row) else _read_accepted(row, self._trigger)
            return Claimed(request, attempt, _held_key(row), waited)
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

    def note_held(self, request_id: str, held: HeldKey) -> None:
        """Note which held message a claimed request is about, before it is sent.

        What becomes of the mail may be reported before the request is settled.
        """
        self._note(request_id, {"held_recipient": held.recipient, "held_entry": held.entry})

    def wait(self, request_id: str, until: datetime) -> None:
        """Let a claimed request wait for the result of an agent, which claim_result claims.

        When the time is over, claim_action claims it again, and it has waited.
        """
        self._note(request_id, {"lease_until": items.epoch(until), "waits_until": items.epoch(until)})

    def _note(self, request_id: str, values: Values) -> None:
        """Add attributes to a claimed request."""
        self._client.update_item(
            TableName=self._table,
            Key=to_wire({"request_id": request_id}),
            UpdateExpression=f"SET {', '.join(f'{name} = :{name}' for name in values)}",
            ConditionExpression="#status = :sending",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=to_wire(
                {":sending": RequestStatus.SENDING} | {f":{name}": value for name, value in values.items()}
            ),
        )

    def claim_result(self, request_id: str, now: datetime, lease: timedelta) -> Claim:
        """Claim a request that waits for an agent, to settle it. Raises as claim_report.

        When its time is over, only claim_action can claim it, so that nobody settles it twice.
        """
        try:
            response = self._client.update_item(
                TableName=self._table,
                Key=to_wire({"request_id": request_id}),
                UpdateExpression="SET settling_until = :until ADD attempts :one",
                ConditionExpression="#status = :sending AND waits_until > :now"
                " AND (attribute_not_exists(settling_until) OR settling_until <= :now)",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_wire(
                    {
                        ":sending": RequestStatus.SENDING,
                        ":one": 1,
                        ":now": items.epoch(now),
                        ":until": items.epoch(now + lease),
                    }
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            row = items.failed_item(e)
            if "waits_until" in row and row["status"] == RequestStatus.SENDING:
                return Busy()
            if "status" not in row:
                raise UnknownRequest(f"no request {request_id}") from e
            return Settled()
        return self._claimed(from_wire(response["Attributes"]), waited=False)

    def remember_bounce(self, code: str, request_id: str, now: datetime) -> None:
        """Remember whose release a delivery report to this code is about (bounce_code)."""
        self._client.update_item(
            TableName=self._table,
            Key=to_wire({"request_id": f"{_BOUNCE}{code}"}),
            UpdateExpression="SET of_request = :of, expires_at = :expires_at",
            ExpressionAttributeValues=to_wire(
                {":of": request_id, ":expires_at": items.epoch(now + RETENTION_OF_REQUESTS)}
            ),
        )

    def bounced(self, code: str, now: datetime) -> str | None:
        """Return the request whose release has this code in its envelope sender; None for none."""
        item = self.find(f"{_BOUNCE}{code}")
        return str(item["of_request"]) if item.get("expires_at", 0) > items.epoch(now) else None

    def record_bounce(self, bounce: Bounce, evidence: Mapping[str, str], now: datetime) -> Admitted | Known:
        """Record a delivery report, which feedback then settles."""
        row = {
            "request_id": bounce.request_id,
            "command": CommandWord.BOUNCE,
            "of_request": bounce.of_request,
            "status": RequestStatus.ACCEPTED,
            "detail": bounce.detail,
            "evidence": dict(evidence),
            "received_at": items.iso_milliseconds(bounce.received_at),
            "decided_at": items.iso_milliseconds(now),
            "expires_at": items.epoch(now + RETENTION_OF_REQUESTS),
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_wire(row),
                ConditionExpression="attribute_not_exists(request_id)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return _known(items.failed_item(e))
        return Admitted()

    def bounce(self, request_id: str) -> Bounce:
        """Return a recorded delivery report. Raises UnknownRequest."""
        row = self.find(request_id)
        if row.get("command") != CommandWord.BOUNCE:
            raise UnknownRequest(f"no delivery report {request_id}")
        return Bounce(request_id, row["of_request"], items.time(row["received_at"]), row["detail"])

    def settle_bounce(self, request_id: str, now: datetime) -> None:
        """Record that feedback has done what a delivery report asks for."""
        self._client.update_item(
            TableName=self._table,
            Key=to_wire({"request_id": request_id}),
            UpdateExpression="SET #status = :done, finished_at = :now",
            ConditionExpression="attribute_exists(request_id)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=to_wire(
                {":done": RequestStatus.DONE, ":now": items.iso_milliseconds(now)}
            ),
        )

    def settle_action(
        self, request_id: str, reference: Reference | None, outcome: ActionOutcome, now: datetime
    ) -> None:
        """Record the outcome of a claimed action. The reference is shortened: nobody needs it any more.

        reference: None for a command that names no message.
        """
        attributes = {
            "answer": outcome.answer,
            "reason": outcome.reason,
            "ses_message_id": outcome.ses_message_id,
            "held_recipient": outcome.held and outcome.held.recipient,
            "held_entry": outcome.held and outcome.held.entry,
            "asked.reference": reference and shortened(str(reference)),
            "finished_at": items.iso_milliseconds(now),
        }
        self._leave(
            request_id,
            outcome.status,
            {name: value for name, value in attributes.items() if value is not None},
        )

    def give_back(self, request_id: str, reason: str, *, counts: bool = True) -> None:
        """Release a claimed request that cannot be served now: the next delivery of its job may claim it.

        counts: whether this was an attempt; a call that failed for the moment is none.
        """
        self._leave(request_id, RequestStatus.ACCEPTED, {"reason": reason}, attempts=0 if counts else -1)

    def _leave(
        self, request_id: str, status: RequestStatus, attributes: Mapping[str, Any], attempts: int = 0
    ) -> None:
        """Leave a claimed request with a status. attributes: by their paths, such as `asked.reference`."""
        attributes = {"status": status, **attributes}
        paths = {f":{path.replace('.', '_')}": path for path in attributes}
        assignments = (f"#{path.replace('.', '.#')} = {value}" for value, path in paths.items())
        outdated = {"lease_until", "reason", "settling_until", "waits_until"} - attributes.keys()
        self._client.update_item(
            TableName=self._table,
            Key=to_wire({"request_id": request_id}),
            UpdateExpression=f"SET {', '.join(assignments)} REMOVE {', '.join(sorted(outdated))}"
            " ADD attempts :attempts",
            ConditionExpression="#status = :sending",
            ExpressionAttributeNames={f"#{name}": name for path in attributes for name in path.split(".")},
            ExpressionAttributeValues=to_wire(
                {":sending": RequestStatus.SENDING, ":attempts": attempts}
                | {value: attributes[path] for value, path in paths.items()}
            ),
        )

    # --- What became of its mails ---

    def note_fate(self, event: SendingEvent, now: datetime) -> Concerned | None:
        """Record what SES reports about a mail of a request, whatever the status of the request.

        What is recorded is only replaced by what counts more. Returns None for a request without a row.
        """
        report, prefix = report_of(event), _PREFIXES[event.mail_kind]
        try:
            response = self._client.update_item(
                TableName=self._table,
                Key=to_wire({"request_id": event.request_id}),
                UpdateExpression="SET #fate = :fate, #rank = :rank, #at = :at, #detail = :detail",
                ConditionExpression="attribute_exists(#status) AND expires_at > :now"
                " AND (attribute_not_exists(#rank) OR #rank < :rank)",
                ExpressionAttributeNames={
                    "#status": "status",
                    "#fate": prefix,
                    **{f"#{name}": f"{prefix}_{name}" for name in ("rank", "at", "detail")},
                },
                ExpressionAttributeValues=to_wire(
                    {
                        ":fate": report.fate,
                        ":rank": report.rank,
                        ":at": items.iso_milliseconds(event.at),
                        ":detail": event.detail,
                        ":now": items.epoch(now),
                    }
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            row = items.failed_item(e)
            if "status" not in row or items.whole_number(row["expires_at"]) <= items.epoch(now):
                return None
            return _concerned(row, is_new=False)
        return _concerned(from_wire(response["Attributes"]), is_new=True)

    def begin_telling(self, request_id: str, now: datetime, lease: timedelta) -> Telling:
        """Claim, for the duration of a lease, that the requester is told that the release failed."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_wire({"request_id": request_id}),
                UpdateExpression="SET telling_until = :until",
                ConditionExpression="attribute_exists(#status) AND attribute_not_exists(told_at)"
                " AND (attribute_not_exists(telling_until) OR telling_until <= :now)",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_wire(
                    {":now": items.epoch(now), ":until": items.epoch(now + lease)}
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            row = items.failed_item(e)
            return Telling.DONE if "status" not in row or "told_at" in row else Telling.BUSY
        return Telling.BEGUN

    def end_telling(self, request_id: str, told_at: datetime | None) -> None:
        """Record when the requester was told; None if they were not, so that another process may do it."""
        over = {"telling_until": 0}
        changed = over if told_at is None else over | {"told_at": items.iso_milliseconds(told_at)}
        self._client.update_item(
            TableName=self._table,
            Key=to_wire({"request_id": request_id}),
            UpdateExpression=f"SET {', '.join(f'{name} = :{name}' for name in changed)}",
            ConditionExpression="attribute_exists(#status)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=to_wire({f":{name}": value for name, value in changed.items()}),
        )

    def thread_of(self, request_id: str) -> tuple[datetime, ReplyContext]:
        """Return when a request was received, and how an answer to it is threaded. Raises UnknownRequest."""
        response = self._client.get_item(
            TableName=self._table, Key=to_wire({"request_id": request_id}), ConsistentRead=True
        )
        row = from_wire(response.get("Item", {}))
        if "received_at" not in row:
            raise UnknownRequest(f"no request {request_id}")
        return items.time(row["received_at"]), _read_reply(row.get("asked", {}))

    # --- For an operator ---

    def find(self, request_id: str) -> Values:
        """Return a row with a consistent read; empty if there is none."""
        response = self._client.get_item(
            TableName=self._table, Key=to_wire({"request_id": request_id}), ConsistentRead=True
        )
        row: Values = items.plain(from_wire(response.get("Item", {})))
        return row

    def foresee(self, request: Accepted, now: datetime, limits: Limits) -> Admission:
        """Return what `accept` would answer now to a request that has no row; nothing is written."""
        mailbox = request.requester.without_suffix()
        if request.replay_key is not None:
            seen = self.find(counters.replay_key(request.replay_key))
            if seen and items.whole_number(seen["expires_at"]) > items.epoch(now):
                return SeenBefore()
        kind, item = _kind(request.command), self.find(counters.mailbox_key(mailbox))
        if kind is None:
            return Admitted()
        if _cools(request) and counters.cooling_until(item) > now:
            return CoolingDown()
        limit = limits.of_mailbox[kind]
        if limit and counters.of_hour(item, kind, now) >= limit:
            return Exhausted(str(mailbox), limit)
        if limits.domain:
            key, share = counters.domain_share(mailbox, now, limits.domain)
            if items.whole_number(self.find(key).get("requests", 0)) >= share:
                return Exhausted(mailbox.domain, limits.domain)
        return Admitted()

    def cooldown_until(self, requester: Address) -> datetime:
        """Return when an address may ask again; a time in the past when it may now."""
        return counters.cooling_until(self.find(counters.mailbox_key(requester.without_suffix())))

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

    def remove(self, request_id: str) -> None:
        """Delete the row of a request."""
        self._client.delete_item(TableName=self._table, Key=to_wire({"request_id": request_id}))

    def remove_count(self, requester: Address) -> bool:
        """Delete the cooldown and the counts of a requester's mailbox; return whether there were any."""
        key = counters.mailbox_key(requester.without_suffix())
        response = self._client.delete_item(
            TableName=self._table, Key=to_wire({"request_id": key}), ReturnValues="ALL_OLD"
        )
        return bool(response.get("Attributes"))

    def all(self) -> Iterator[Values]:
        """Yield all requests in undefined order: a scan of the table."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="attribute_exists(#status)",  # a counter has none
            ExpressionAttributeNames={"#status": "status"},
        )
        for page in pages:
            yield from (items.plain(from_wire(item)) for item in page["Items"])


# The attribute that says what became of a mail, by its kind; others have it as a prefix. A request has one
# mail that it asks for, and may have an answer and a notice beside it.
_PREFIXES = {
    MailKind.REPORT: "delivery",
    MailKind.DIGEST: "delivery",
    MailKind.PREVIEW: "delivery",
    MailKind.RELEASE: "delivery",
    MailKind.ASK: "delivery",
    MailKind.ANSWER: "answer_delivery",
    MailKind.NOTICE: "notice_delivery",
}


def _concerned(row: Values, *, is_new: bool) -> Concerned:
    try:
        requester = Address.parse(str(row.get("requester")))
    except InvalidAddress:
        requester = None
    return Concerned(is_new, requester, _held_key(row))


def raw_key(request_id: str) -> str:
    """Return the key of the mail that asked; its further commands have its id with `.2` and so on."""
    return f"inbound/{request_id.partition('.')[0]}"


def backoff(attempt: int) -> float:
    """Return for how many seconds to wait before a transaction is tried again: more each time, at random."""
    return uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - so that they come apart


def _known(item: Values) -> Admitted | Known:
    status = RequestStatus(item["status"])
    return Admitted() if status is RequestStatus.ACCEPTED else Known(status)


def _word(command: Command) -> CommandWord:
    match command:
        case ReportCommand():
            return CommandWord.REPORT
        case ActionCommand(action):
            return CommandWord(action.value)
        case RulingCommand(ruling):
            return CommandWord(ruling.value)
        case WishCommand(wish):
            return _WISHES[wish]
        case DigestCommand():
            return CommandWord.DIGEST
        case _:
            assert_never(command)


def _kind(command: Command) -> counters.Kind | None:
    """Return what a command counts as; None for what no limit binds: an administrator's answer, a digest."""
    match command:
        case ReportCommand():
            return counters.Kind.REPORTS
        case ActionCommand(Action.ASK):
            return counters.Kind.ASKS
        case ActionCommand() | WishCommand():
            return counters.Kind.ACTIONS
        case RulingCommand() | DigestCommand():
            return None
        case _:
            assert_never(command)


def _cools(request: Accepted) -> bool:
    """Return whether a request waits for the cooldown and starts it.

    One that asks for more of what a report showed, or for a choice of it, does not: it follows a report.
    """
    return isinstance(request.command, ReportCommand) and request.command.view.is_whole


def _over_limit(
    requests: Sequence[Accepted], item: Values, now: datetime, limits: Limits
) -> Mapping[str, Admission]:
    """Return which requests the item of their mailbox forbids: all those of one kind."""
    mailbox = str(requests[0].requester.without_suffix())
    by_kind: dict[counters.Kind, list[str]] = {}
    for each in requests:
        if (kind := _kind(each.command)) is not None:
            by_kind.setdefault(kind, []).append(each.request_id)
    reports = [each.request_id for each in requests if _cools(each)]
    if reports and counters.cooling_until(item) > now:
        return dict.fromkeys(reports, CoolingDown())
    for kind, ids in by_kind.items():
        limit = limits.of_mailbox[kind]
        if limit and counters.of_hour(item, kind, now) + len(ids) > limit:
            return dict.fromkeys(ids, Exhausted(mailbox, limit))
    # It changed after the condition failed: the event comes again.
    raise AssertionError("a limit of a mailbox failed that no request is over")


def _row(request: Accepted, evidence: Mapping[str, str], now: datetime) -> Values:
    return {
        "request_id": request.request_id,
        "command": _word(request.command),
        "requester": str(request.requester),
        "mailboxes": {str(mailbox) for mailbox in request.mailboxes},
        "asked": _asked(request),
        **({"administered": set(request.administered)} if request.administered else {}),
        "status": RequestStatus.ACCEPTED,
        "detail": request.accepted_by,
        "evidence": dict(evidence),
        "received_at": items.iso_milliseconds(request.received_at),
        "decided_at": items.iso_milliseconds(now),
        "expires_at": items.epoch(now + RETENTION_OF_REQUESTS),
    }


def _asked(request: Accepted) -> Values:
    """Return what was asked. The reference of an action is whole until act has settled the request."""
    match request.command:
        case ReportCommand(of=of, as_administrator=as_administrator, view=view):
            own: Values = {} if of is None else {"of": str(of), "as_administrator": as_administrator}
            if not view.is_whole:
                own = {**own, "options": _options(view)}
        case WishCommand():
            own = {}
        case DigestCommand(due_at=due_at):
            own = {"due_at": items.epoch(due_at)}
        case ActionCommand(reference=each) | RulingCommand(reference=each):
            own = {"reference": str(each)}
        case _:
            assert_never(request.command)
    return {
        "written_to": shortened(str(request.command.written_to)),
        **own,
        "utc_offset_minutes": request.reply.utc_offset // timedelta(minutes=1),
        "message_id": request.reply.message_id,
        "references": list(request.reply.references),
    }


def _options(view: View) -> Values:
    options = {
        "older": None if view.older is None else str(view.older),
        "find": list(view.find) or None,
        "days": view.days,
    }
    return {name: value for name, value in options.items() if value is not None}


def _read_view(options: Values) -> View:
    return View(
        Cursor.parse(items.text(options["older"])) if "older" in options else None,
        tuple(items.text(word) for word in options.get("find", [])),
        items.whole_number(options["days"]) if "days" in options else None,
    )


def _read_accepted(row: Values, trigger: Address | None) -> Accepted:
    """Read a row. A row of the version before has neither mailboxes nor a command."""
    requester = Address.parse(items.text(row["requester"]))
    others = {Address.parse(mailbox) for mailbox in items.text_set(row, "mailboxes")} - {requester}
    asked = row.get("asked", {})
    command = _read_command(row.get("command", CommandWord.REPORT), asked, trigger)
    of = command.of if isinstance(command, ReportCommand) else None
    return Accepted(
        request_id=items.text(row["request_id"]),
        requester=requester,
        mailboxes=(requester, *sorted(others)) if of is None else (of,),
        command=command,
        received_at=items.time(row["received_at"]),
        accepted_by=items.text(row.get("detail", "")),
        reply=_read_reply(asked),
        administered=frozenset(items.text_set(row, "administered")),
    )


def is_order(row: Mapping[str, Any]) -> bool:
    """Return whether an operator ordered it, and no mail asked for it."""
    return row.get("by_operator") is True


def _read_order(row: Values) -> Order:
    (mailbox,) = items.text_set(row, "mailboxes")
    word = items.text(row["command"])
    return Order(
        request_id=items.text(row["request_id"]),
        operator=items.text(row["requester"]),
        mailbox=Address.parse(mailbox),
        reference=Reference.parse(items.text(row["asked"]["reference"])),
        ordered_at=items.time(row["received_at"]),
        action=Ruling(word) if word in Ruling else Action(word),
    )


def _read_reply(asked: Values) -> ReplyContext:
    message_id = asked.get("message_id")
    return ReplyContext(
        utc_offset=timedelta(minutes=items.whole_number(asked.get("utc_offset_minutes", 0))),
        message_id=None if message_id is None else items.text(message_id),
        references=tuple(items.text(each) for each in asked.get("references", [])),
    )


def _read_command(word: object, asked: Values, trigger: Address | None) -> Command:
    command = CommandWord(items.text(word))
    match command:
        case CommandWord.REPORT | CommandWord.DIGEST:
            written_to = Address.parse(items.text(asked["written_to"])) if "written_to" in asked else trigger
            if written_to is None:
                raise ValueError("no address that was written to")
            if command is CommandWord.DIGEST:
                due_at = datetime.fromtimestamp(items.whole_number(asked["due_at"]), UTC)
                return DigestCommand(written_to, due_at)
            of = Address.parse(items.text(asked["of"])) if "of" in asked else None
            view = _read_view(asked["options"]) if "options" in asked else WHOLE
            return ReportCommand(written_to, of, asked.get("as_administrator") is True, view)
        case CommandWord.DIGEST_ON | CommandWord.DIGEST_OFF:
            wish = Wish.ON if command is CommandWord.DIGEST_ON else Wish.OFF
            _, _, domain = items.text(asked["written_to"]).rpartition("@")
            return WishCommand(wish, normalise_domain(domain))
        case CommandWord.PREVIEW | CommandWord.RELEASE | CommandWord.DELETE | CommandWord.ASK:
            return ActionCommand(Action(command.value), *_reference_and_domain(asked))
        case CommandWord.APPROVE | CommandWord.REFUSE:
            return RulingCommand(Ruling(command.value), *_reference_and_domain(asked))
        case CommandWord.BOUNCE:
            raise ValueError("a delivery report, which nobody asks for")
        case _:
            assert_never(command)


def _reference_and_domain(asked: Values) -> tuple[Reference, str]:
    _, _, domain = items.text(asked["written_to"]).rpartition("@")
    return Reference.parse(items.text(asked["reference"])), normalise_domain(domain)


def _held_key(row: Values) -> HeldKey | None:
    if {"held_recipient", "held_entry"} <= row.keys():
        return HeldKey(row["held_recipient"], row["held_entry"])
    return None


def _claim_of_other(
    request_id: str, error: ClientError, commands: AbstractSet[CommandWord], now: datetime
) -> Claim:
    row = items.failed_item(error)
    if "status" not in row:  # no row, or a cooldown
        raise UnknownRequest(f"no accepted request {request_id}") from error
    if (word := row.get("command", CommandWord.REPORT)) not in commands:
        raise UnknownRequest(f"the request {request_id} is for another function: {word!r:.80}") from error
    status = RequestStatus(row["status"])
    match status:
        case RequestStatus.SENDING if "waits_until" in row:
            times = (row["waits_until"], row.get("settling_until", 0), items.epoch(now))
            return Waiting(datetime.fromtimestamp(max(map(items.whole_number, times)), UTC))
        case RequestStatus.SENDING:
            return Busy()
        case (
            RequestStatus.REFUSED
            | RequestStatus.SENT
            | RequestStatus.EMPTY
            | RequestStatus.DONE
            | RequestStatus.FAILED
        ):
            return Settled()
        case RequestStatus.ACCEPTED:  # it became free a moment ago: the next delivery claims it
            return Busy()
        case _:
            assert_never(status)
