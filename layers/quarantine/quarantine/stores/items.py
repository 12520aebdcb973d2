"""Converts DynamoDB items to values and back: the codec of all tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Values = Mapping[str, Any]
"""An item as Python values: str, Decimal, bool, set, list, dict."""

type Wire = dict[str, Any]
"""An item as in DynamoDB's API: each value under the letter of its type."""

type Unreadable = Callable[[Values, Exception], None]
"""Called with a record that cannot be read: the attributes of its key, and the error."""

_KEYS = ("principal", "record", "recipient", "entry", "request_id", "reader")

_MOST_ROUNDS = 5  # of BatchGetItem, for keys that it leaves out


class Unprocessed(RuntimeError):
    """DynamoDB left out some keys of a batch: the work must be tried again."""


_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def to_wire(values: Values) -> Wire:
    return {name: _serialize(value) for name, value in values.items()}


def from_wire(item: Values) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def plain(value: Any) -> Any:
    """Return a value of from_wire with numbers as int or float and sets as lists, for JSON and for people."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case set():
            return sorted(plain(each) for each in value)
        case _:
            return value


def readable[T](items: Iterable[Values], read: Callable[[Values], T], unreadable: Unreadable) -> Iterator[T]:
    """Yield each item that can be read. An unreadable item is reported, and does not affect the others."""
    for item in items:
        try:
            yield read(item)
        except (KeyError, ValueError, TypeError, OverflowError, AttributeError, OSError) as e:
            unreadable(key_of(item), e)


def key_of(item: Values) -> Values:
    """Return the attributes of an item's key, so that an operator can find the item."""
    return {name: item[name] for name in _KEYS if name in item}


def failed_item(error: ClientError) -> dict[str, Any]:
    """Return the item on which a condition failed; empty if there is none."""
    response: dict[str, Any] = {**error.response}
    return from_wire(response.get("Item") or {})


_MOST_IN_A_BATCH = 100  # keys of one BatchGetItem


def batch_get(client: "DynamoDBClient", table: str, keys: Sequence[Wire]) -> Iterator[dict[str, Any]]:
    """Yield the items of a table that have these keys, with consistent reads, in any order.

    Raises Unprocessed if DynamoDB leaves keys out again and again, because it is too busy.
    """
    waiting: list[Any] = list(keys)
    for _ in range(_MOST_ROUNDS + -(-len(keys) // _MOST_IN_A_BATCH)):
        if not waiting:
            return
        batch, waiting = waiting[:_MOST_IN_A_BATCH], waiting[_MOST_IN_A_BATCH:]
        response = client.batch_get_item(RequestItems={table: {"Keys": batch, "ConsistentRead": True}})
        yield from map(from_wire, response["Responses"].get(table, []))
        if table in (left := response.get("UnprocessedKeys", {})):
            waiting += left[table]["Keys"]
    if waiting:
        raise Unprocessed(f"{len(waiting)} keys of {table}")


# --- Values ---


def text(value: object) -> str:
    """Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r:.80}")
    return value


def text_set(values: Values, name: str) -> set[str]:
    """Return a set of texts; empty if it is missing. Raises TypeError for anything else."""
    value = values.get(name, set())
    if not isinstance(value, set) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name} is not a set of texts")
    return value


def whole_number(value: object) -> int:
    """Raises TypeError for a value that is not a number, ValueError for a fraction."""
    if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
        raise TypeError(f"not a number: {value!r:.80}")
    if value != int(value):
        raise ValueError(f"not a whole number: {value!r:.80}")
    return int(value)


def time(value: object) -> datetime:
    """Read an ISO 8601 time, as UTC if it has no offset."""
    parsed = datetime.fromisoformat(text(value))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)


def iso_seconds(time: datetime) -> str:
    """Return a time in the format of the quarantine table's keys: UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def iso_milliseconds(time: datetime) -> str:
    """Return a time in the format of the requests table: UTC, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(time: datetime) -> int:
    """Return a time in the format of TTL: seconds since 1970."""
    return int(time.timestamp())
