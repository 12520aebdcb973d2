"""What readers ask the administrators for: items of the requests table, beside the requests.

`ask#<recipient>#<entry>` is the ask about a message, and `approve#<code>` finds it by the code in the
addresses that answer it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quarantine.acting.asks import RULED, Ask, AskState
from quarantine.acting.reference import Reference
from quarantine.acting.rules import Ruling
from quarantine.held import HeldKey
from quarantine.mail.addresses import Address
from quarantine.stores import items
from quarantine.stores.items import Unreadable, Values, from_wire, readable, to_wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ASK, _APPROVE = "ask#", "approve#"


class Asks:
    """unreadable: called with each item that cannot be read."""

    def __init__(self, client: "DynamoDBClient", table: str, unreadable: Unreadable) -> None:
        self._client, self._table, self._unreadable = client, table, unreadable

    def open(self, ask: Ask, now: datetime) -> Ask | None:
        """Open an ask, unless there is one about the message; return the one that there is.

        One whose time is over, or that was approved while the message is held again, is replaced; but not by
        the request that made it, whose process died.
        """
        self._client.update_item(
            TableName=self._table,
            Key=to_wire({"request_id": f"{_APPROVE}{ask.reference.code}"}),
            UpdateExpression="SET of_ask = :ask, expires_at = :expires_at",
            ExpressionAttributeValues=to_wire(
                {":ask": _key(ask.held), ":expires_at": items.epoch(ask.expires_at)}
            ),
        )
        values = {
            "recipient": ask.held.recipient,
            "entry": ask.held.entry,
            "code": ask.reference.code,
            "received_at": items.iso_seconds(ask.reference.received_at),
            "asker": str(ask.asker),
            "of_request": ask.request_id,
            "asked_at": items.iso_milliseconds(ask.asked_at),
            "expires_at": items.epoch(ask.expires_at),
            "ask_state": AskState.OPEN,
        }
        return self._change(
            ask.held,
            f"SET {', '.join(f'{name} = :{name}' for name in values)}"
            " REMOVE told, answered_by, answered_at, answered_for, asker_told",
            "attribute_not_exists(request_id) OR expires_at <= :now"
            " OR (ask_state = :approved AND of_request <> :of_request)",
            {f":{name}": value for name, value in values.items()}
            | {":now": items.epoch(now), ":approved": AskState.APPROVED},
        )

    def find(self, reference: Reference, now: datetime) -> Ask | None:
        """Return the ask that a reference names, with a consistent read; None for none, or if it is over."""
        pointer = self._get(f"{_APPROVE}{reference.code}")
        item = self._get(str(pointer.get("of_ask", "")) or _ASK)
        found = next(readable([item] if item else [], _ask, self._unreadable), None)
        if found is None or found.expires_at <= now or not reference.names(found.reference.code):
            return None
        return found if found.reference == reference else None

    def of(self, held: HeldKey) -> Ask | None:
        """Return the ask about a message, with a consistent read; None for none."""
        item = self._get(_key(held))
        return next(readable([item] if item else [], _ask, self._unreadable), None)

    def note_told(self, ask: Ask, administrator: Address) -> None:
        """Note that an administrator got the mail about an ask."""
        self._change(
            ask.held,
            "ADD told :told",
            "code = :code",
            {":told": {str(administrator)}, ":code": ask.reference.code},
        )

    def answer(self, ask: Ask, ruling: Ruling, by: str, request_id: str, now: datetime) -> Ask | None:
        """Answer an open ask; return it as it is then, whoever answered it. The first answer counts."""
        return self._change(
            ask.held,
            "SET ask_state = :state, answered_by = :by, answered_at = :at, answered_for = :for",
            "code = :code AND (ask_state = :open OR answered_for = :for)",
            {
                ":state": RULED[ruling],
                ":by": by,
                ":at": items.iso_milliseconds(now),
                ":for": request_id,
                ":code": ask.reference.code,
                ":open": AskState.OPEN,
            },
        )

    def reopen(self, ask: Ask, request_id: str) -> None:
        """Take an answer back that could not be carried out."""
        self._change(
            ask.held,
            "SET ask_state = :open REMOVE answered_by, answered_at, answered_for",
            "code = :code AND answered_for = :for",
            {":open": AskState.OPEN, ":code": ask.reference.code, ":for": request_id},
        )

    def note_asker_told(self, ask: Ask) -> None:
        """Note that who asked has heard of the answer."""
        self._change(
            ask.held,
            "SET asker_told = :yes",
            "code = :code",
            {":yes": True, ":code": ask.reference.code},
        )

    def withdraw(self, ask: Ask) -> None:
        """End an ask of which nobody could be told, so that another may be opened."""
        self._change(
            ask.held, "SET expires_at = :over", "code = :code", {":over": 0, ":code": ask.reference.code}
        )

    # --- For an operator ---

    def all(self) -> Iterator[Ask]:
        """Yield all asks that are kept, in undefined order: a scan of the table."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="begins_with(request_id, :ask)",
            ExpressionAttributeValues=to_wire({":ask": _ASK}),
        )
        for page in pages:
            yield from readable(map(from_wire, page["Items"]), _ask, self._unreadable)

    def remove(self, ask: Ask) -> None:
        """Delete an ask, and what finds it."""
        for key in (_key(ask.held), f"{_APPROVE}{ask.reference.code}"):
            self._client.delete_item(TableName=self._table, Key=to_wire({"request_id": key}))

    def _get(self, key: str) -> Values:
        found = self._client.get_item(
            TableName=self._table, Key=to_wire({"request_id": key}), ConsistentRead=True
        )
        return from_wire(found.get("Item", {}))

    def _change(self, held: HeldKey, update: str, condition: str, values: Values) -> Ask | None:
        """Change an ask under a condition; return it as it is then. None if it is gone."""
        try:
            response = self._client.update_item(
                TableName=self._table,
                Key=to_wire({"request_id": _key(held)}),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_wire(values),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            item = items.failed_item(e)
        else:
            item = from_wire(response["Attributes"])
        return next(readable([item] if item else [], _ask, self._unreadable), None)


def _key(held: HeldKey) -> str:
    return f"{_ASK}{held.recipient}#{held.entry}"


def _ask(item: Values) -> Ask:
    answered_at = item.get("answered_at")
    return Ask(
        held=HeldKey(items.text(item["recipient"]), items.text(item["entry"])),
        reference=Reference(items.time(item["received_at"]), items.text(item["code"])),
        asker=Address.parse(items.text(item["asker"])),
        request_id=items.text(item["of_request"]),
        asked_at=items.time(item["asked_at"]),
        expires_at=datetime.fromtimestamp(items.whole_number(item["expires_at"]), UTC),
        state=AskState(items.text(item["ask_state"])),
        told=frozenset(items.text_set(item, "told")),
        answered_by=item.get("answered_by"),
        answered_at=None if answered_at is None else items.time(answered_at),
        answered_for=item.get("answered_for"),
        is_asker_told=item.get("asker_told") is True,
    )
