"""Items of DynamoDB, to values and back: the one codec of all tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

type Values = Mapping[str, Any]
"""An item as Python has it: str, Decimal, bool, set, list, dict."""

type Wire = dict[str, Any]
"""An item as DynamoDB's API has it: each value under the letter of its type."""

type Unreadable = Callable[[Values, Exception], None]
"""Is told of a record that cannot be read: the attributes of its key, and what is wrong."""

_KEYS = ("principal", "record", "recipient", "entry", "request_id")

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def to_wire(values: Values) -> Wire:
    return {name: _serialize(value) for name, value in values.items()}


def from_wire(item: Values) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def plain(value: Any) -> Any:
    """Return a value of from_wire with whole numbers as int, as JSON and a person have them."""
    match value:
        case Decimal() if value == value.to_integral_value():
            return int(value)
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case _:
            return value


def readable[T](items: Iterable[Values], read: Callable[[Values], T], unreadable: Unreadable) -> Iterator[T]:
    """Yield each item that can be read. One that cannot be is reported, and hides nothing but itself."""
    for item in items:
        try:
            yield read(item)
        except (KeyError, ValueError, TypeError, OverflowError, AttributeError, OSError) as e:
            unreadable(key_of(item), e)


def key_of(item: Values) -> Values:
    """Return the attributes of an item's key, for whoever is to mend it."""
    return {name: item[name] for name in _KEYS if name in item}


def failed_item(error: ClientError) -> dict[str, Any]:
    """Return the item at which a condition failed; empty when there is none."""
    response: dict[str, Any] = {**error.response}
    return from_wire(response.get("Item") or {})


# --- Values ---


def text(value: object) -> str:
    """Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r:.80}")
    return value


def text_set(values: Values, name: str) -> set[str]:
    """Return a set of texts; empty where there is none. Raises TypeError for anything else."""
    value = values.get(name, set())
    if not isinstance(value, set) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name} is not a set of texts")
    return value


def whole_number(value: object) -> int:
    """Raises TypeError for what is not a number, ValueError for a fraction."""
    if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
        raise TypeError(f"not a number: {value!r:.80}")
    if value != int(value):
        raise ValueError(f"not a whole number: {value!r:.80}")
    return int(value)


def time(value: object) -> datetime:
    """Read an ISO 8601 time, of UTC where it names no offset."""
    parsed = datetime.fromisoformat(text(value))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)


def iso_seconds(time: datetime) -> str:
    """Return a time as keys of the quarantine table have it: UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def iso_milliseconds(time: datetime) -> str:
    """Return a time as the requests table has it: UTC, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(time: datetime) -> int:
    """Return a time as TTL counts it: seconds since 1970."""
    return int(time.timestamp())
