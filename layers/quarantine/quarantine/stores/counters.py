"""The items of the requests table that count and remember, as writes of a transaction.

They lie beside the requests: `cooldown#<mailbox>` with its cooldown and its requests of each hour, a domain's
requests of an hour under `domain#...`, and under `replay#<key>` a mail that only DKIM proves.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from quarantine.asking.replays import OLDEST
from quarantine.mail.addresses import Address
from quarantine.stores import items
from quarantine.stores.items import Values, to_wire

type Write = Mapping[str, Mapping[str, Any]]
"""`{"Put": {...}}` or `{"Update": {...}}` of a transaction, without the table's name."""

_HOUR = timedelta(hours=1)
_STALE_HOURS = 24  # whose counts an update removes; TTL removes an item that was idle for longer
_SHARDS = 32
_COUNT_OF_A_SHARD = 300  # a lower limit has fewer shards, so that it stays exact


def new_row(row: Values) -> Write:
    """Return the write of a request's row, where there is none."""
    return {
        "Put": {
            "Item": to_wire(row),
            "ConditionExpression": "attribute_not_exists(request_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def replay_key(key: str) -> str:
    return f"replay#{key}"


def remembered(key: str, now: datetime) -> Write:
    """Return the write that remembers a mail, where no such mail is remembered."""
    return {
        "Put": {
            "Item": to_wire({"request_id": replay_key(key), "expires_at": items.epoch(now + OLDEST)}),
            "ConditionExpression": "attribute_not_exists(request_id) OR expires_at <= :now",
            "ExpressionAttributeValues": to_wire({":now": items.epoch(now)}),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def mailbox_key(mailbox: Address) -> str:
    return f"cooldown#{mailbox}"


def cooling_until(item: Values) -> datetime:
    """Return when a mailbox may ask again; a time in the past for an item that does not say."""
    # An item of the version before has only the time at which it expires.
    until = item.get("cooling_until", item.get("expires_at", 0))
    return datetime.fromtimestamp(items.whole_number(until), UTC)


class Kind(StrEnum):
    """What is counted apart: the name of its attributes, each with the clock hour."""

    REPORTS = "reports"
    ACTIONS = "actions"
    ASKS = "asks"  # each is a mail to every administrator


def of_hour(item: Values, kind: Kind, now: datetime) -> int:
    """Return how many requests of a mailbox were accepted in this clock hour."""
    return items.whole_number(item.get(f"{kind}_{_hour(now)}", 0))


def mailbox_count(
    mailbox: Address,
    now: datetime,
    cooldown: timedelta,
    counts: Mapping[Kind, int],
    limits: Mapping[Kind, int],
    *,
    cools: bool,
) -> Write:
    """Return the write that counts requests, and may start a cooldown, where both allow it.

    counts: how many to add. limits: requests in a clock hour; 0 for no limit. cools: whether a report is
    among them that waits for the cooldown and starts it.
    """
    hour = _hour(now)
    old = [f"{kind}_{hour - ago}" for kind in Kind for ago in range(1, _STALE_HOURS + 1)]
    names = {f"#old{number}": name for number, name in enumerate(old)}
    removed = ", ".join(names)
    until = now + cooldown
    # Otherwise the cooldown stays as it is. It may end later than this hour.
    values = {":expires": items.epoch(max(until, _end_of(hour))), ":never": 0}
    cooling, conditions, added = "if_not_exists(cooling_until, :never)", [], []
    if cools:
        values |= {":now": items.epoch(now), ":until": items.epoch(until)}
        del values[":never"]
        cooling = ":until"
        conditions.append(
            "(attribute_not_exists(request_id) OR cooling_until <= :now"
            " OR (attribute_not_exists(cooling_until) AND expires_at <= :now))"
        )
    for kind, count in counts.items():
        names[f"#{kind}"] = f"{kind}_{hour}"
        values[f":{kind}"] = count
        added.append(f"#{kind} :{kind}")
        if limits[kind]:
            values[f":{kind}_room"] = limits[kind] - count
            conditions.append(_has_room(f"#{kind}", f":{kind}_room", limits[kind] - count))
    return {
        "Update": {
            "Key": to_wire({"request_id": mailbox_key(mailbox)}),
            "UpdateExpression": f"SET cooling_until = {cooling}, expires_at = :expires"
            f" REMOVE {removed} ADD {', '.join(added)}",
            **({"ConditionExpression": " AND ".join(conditions)} if conditions else {}),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": to_wire(values),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def _has_room(count: str, room: str, value: int) -> str:
    """Return the condition that a count, perhaps none yet, leaves room. value: of `room`."""
    return f"(attribute_not_exists({count}) OR {count} <= {room})" if value >= 0 else f"{count} <= {room}"


def domain_count(mailbox: Address, now: datetime, count: int, limit: int) -> Write:
    """Return the write that counts requests of a domain, where its limit allows them.

    A transaction fails if another one writes the same item at the same moment, so the count of a domain is
    spread by mailbox over several items, each with its share of the limit.
    """
    key, share = domain_share(mailbox, now, limit)
    return {
        "Update": {
            "Key": to_wire({"request_id": key}),
            "UpdateExpression": "SET expires_at = :expires ADD requests :count",
            "ConditionExpression": _has_room("requests", ":room", share - count),
            "ExpressionAttributeValues": to_wire(
                {":expires": items.epoch(_end_of(_hour(now))), ":count": count, ":room": share - count}
            ),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def domain_share(mailbox: Address, now: datetime, limit: int) -> tuple[str, int]:
    """Return the key of the item that counts a mailbox for its domain, and its share of the limit."""
    shards = min(_SHARDS, max(1, limit // _COUNT_OF_A_SHARD))
    shard = int.from_bytes(sha256(str(mailbox).encode()).digest()[:4]) % shards
    return f"domain#{mailbox.domain}#{_hour(now)}#{shard}", -(-limit // shards)


def _hour(now: datetime) -> int:
    """Return the clock hour, UTC, as a number of hours since 1970."""
    return items.epoch(now) // 3600


def _end_of(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC) + _HOUR
