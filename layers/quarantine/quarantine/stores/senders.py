"""The senders table: who may ask, by auth and relay records, and who gets digests, by digest records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

from quarantine.asking.admission import AuthRecord, Method, RelayRecord, principals
from quarantine.digests.rules import Covering, DigestRecord
from quarantine.digests.schedule import Schedule, Weekday, sorted_days
from quarantine.mail.addresses import Address
from quarantine.stores import items as codec
from quarantine.stores.items import Unreadable, Values, from_wire, key_of, readable, text_set, to_wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_AUTH = "auth"
_RELAY = "relay#"
_DIGEST = "digest"
_BY_RECORD = "by_record"  # the index that finds all digest records with one query

type Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Administrators:
    """asked: those of a domain, or else those of `*`. may_answer: those of both."""

    asked: tuple[Address, ...]
    may_answer: frozenset[Address]


class Senders:
    """The records that apply to a requester. unreadable: called with each record that cannot be read."""

    def __init__(self, client: "DynamoDBClient", table: str, unreadable: Unreadable) -> None:
        self._client, self._table, self._unreadable = client, table, unreadable

    def facts_for(self, requester: Address) -> tuple[tuple[AuthRecord, ...], Iterator[RelayRecord]]:
        """Return the auth and the relay records that can apply to the requester, the most specific first.

        An auth record that cannot be read still takes precedence over more general ones, and accepts nothing.
        The networks are parsed lazily: not at all if the auth records decide.
        """
        found: dict[str, list[Values]] = {principal: [] for principal in principals(requester)}
        for item in self._records(tuple(found)):
            found[item["principal"]].append(item)
        items = [item for records in found.values() for item in records]
        auth = tuple(self._auth_record(item) for item in items if item["record"] == _AUTH)
        relays = (item for item in items if item["record"].startswith(_RELAY))
        return auth, readable(relays, _relay_record, self._unreadable)

    def administrators_of(self, domain: str) -> Administrators:
        """Return who answers for a domain, with a consistent read."""
        records = {
            item["principal"]: item for item in self._records((domain, "*")) if item["record"] == _AUTH
        }
        own, everybodys = (
            self._auth_record(records[name]).administrators if name in records else ()
            for name in (domain, "*")
        )
        return Administrators(own or everybodys, frozenset((*own, *everybodys)))

    def covering(self, reader: Address) -> Covering:
        """Return what decides on the digests of a reader: with one consistent read."""
        return self._covering(reader, list(self._records(principals(reader))))

    def covering_all(self, readers: Sequence[Address]) -> Mapping[Address, Covering]:
        """Return the same for many readers: one read for each domain, and one for fifty addresses."""
        shared = {
            domain: list(self._records((domain, "*"))) for domain in sorted({each.domain for each in readers})
        }
        keys = [
            to_wire({"principal": str(reader), "record": record})
            for reader in readers
            for record in (_AUTH, _DIGEST)
        ]
        own: dict[str, list[Values]] = {}
        for item in codec.batch_get(self._client, self._table, keys):
            own.setdefault(item["principal"], []).append(item)
        return {
            reader: self._covering(reader, [*own.get(str(reader), []), *shared[reader.domain]])
            for reader in readers
        }

    def _covering(self, reader: Address, records: Sequence[Values]) -> Covering:
        by_principal: dict[str, list[Values]] = {principal: [] for principal in principals(reader)}
        for item in records:
            by_principal[item["principal"]].append(item)
        ordered = [item for found in by_principal.values() for item in found]
        return Covering(
            digests=tuple(self._digest_record(item) for item in ordered if item["record"] == _DIGEST),
            auth=tuple(self._auth_record(item) for item in ordered if item["record"] == _AUTH),
            is_known=any(_admits(item) for item in by_principal[reader.domain]),
        )

    def digest_records(self) -> Mapping[str, DigestRecord]:
        """Return all digest records by their principals: a query of an index, a moment behind the table."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=_BY_RECORD,
            KeyConditionExpression="#record = :record",
            ExpressionAttributeNames={"#record": "record"},
            ExpressionAttributeValues=to_wire({":record": _DIGEST}),
        )
        found = (from_wire(item) for page in pages for item in page["Items"])
        return {item["principal"]: self._digest_record(item) for item in found}

    def is_known(self, domain: str) -> bool:
        """Return whether a domain has an auth or a relay record."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="principal = :principal",
            ExpressionAttributeValues=to_wire({":principal": domain}),
        )
        return any(_admits(from_wire(item)) for page in pages for item in page["Items"])

    def _digest_record(self, item: Values) -> DigestRecord:
        """Read a digest record. One that cannot be read still counts before a more general one."""
        principal = item["principal"]
        try:
            changed_at = codec.time(item["updated_at"]) if "updated_at" in item else None
            is_off = item.get("off", False) is not False  # anything but a clear `false` switches it off
            schedule = None
            if not is_off:
                zone = codec.text(item["zone"])
                schedule = Schedule.parse(text_set(item, "at"), text_set(item, "days") or _EVERY_DAY, zone)
        except (KeyError, ValueError, TypeError) as e:
            self._unreadable(key_of(item), e)
            return DigestRecord(principal, None, is_readable=False)
        # It waives a check: only a clear `true` of a domain counts.
        everyone = item.get("everyone", False) is True and "@" not in principal and principal != "*"
        return DigestRecord(principal, schedule, everyone, changed_at)

    def _records(self, principals: Sequence[str]) -> Iterator[Values]:
        """Yield all records of some principals with one read, which covers one partition for each of them.

        No other API call queries several partitions. With a condition on the partition key, this is not a
        scan, which the function's policy denies (docs/decisions/0013-one-read.md).
        """
        condition = " OR ".join(['"principal" = ?'] * len(principals))
        query: dict[str, Any] = {
            "Statement": f'SELECT * FROM "{self._table}" WHERE {condition}',  # noqa: S608 - a setting
            "Parameters": list(to_wire(dict(zip(principals, principals, strict=True))).values()),
            "ConsistentRead": True,  # a denial by an operator applies at once
        }
        while True:
            page = self._client.execute_statement(**query)
            yield from map(from_wire, page["Items"])
            if not page.get("NextToken"):
                return
            query["NextToken"] = page["NextToken"]

    def _auth_record(self, item: Values) -> AuthRecord:
        principal = item["principal"]
        deny = item.get("deny", False) is not False  # anything but a clear `false` denies
        try:
            accept = frozenset(Method(word) for word in text_set(item, "accept"))
        except (ValueError, TypeError) as e:
            self._unreadable(key_of(item), e)
            return AuthRecord(principal, deny=deny)
        forwarded = item.get("forwarded", False) is True  # it waives a check: only a clear `true` counts
        mailboxes, administrators = (
            tuple(self._addresses(item, name)) for name in ("mailboxes", "administrators")
        )
        if "@" in principal:  # one address is not a company
            administrators = ()
        return AuthRecord(principal, accept, deny, mailboxes, forwarded, administrators)

    def _addresses(self, item: Values, name: str) -> Iterator[Address]:
        try:
            for text in sorted(text_set(item, name)):
                yield Address.parse(text)
        except (ValueError, TypeError) as e:
            self._unreadable(key_of(item), e)


_EVERY_DAY = frozenset(Weekday)


def _admits(item: Values) -> bool:
    """Return whether a record is one by which somebody may ask: an auth or a relay record."""
    record: str = item["record"]
    return record == _AUTH or record.startswith(_RELAY)


def digest_values(
    principal: str,
    schedule: Schedule | None,
    *,
    everyone: bool = False,
    note: str = "",
    now: datetime,
) -> Values:
    """Return the digest record of an address, a domain or everybody (`*`). schedule: None for off."""
    record: Values = {"principal": principal, "record": _DIGEST, **_noted(note, now)}
    if schedule is None:
        return {**record, "off": True}
    return {
        **record,
        "at": {f"{each:%H:%M}" for each in schedule.at},
        "days": {day.value for day in sorted_days(schedule.days)},
        "zone": schedule.zone.key,
        **({"everyone": True} if everyone else {}),
    }


def auth_values(
    principal: str,
    accept: Iterable[str],
    *,
    deny: bool = False,
    mailboxes: Iterable[str] = (),
    forwarded: bool = False,
    administrators: Iterable[str] = (),
    note: str = "",
    now: datetime,
) -> Values:
    """Return the auth record of an address, a domain or everybody (`*`)."""
    named = (("accept", accept), ("mailboxes", mailboxes), ("administrators", administrators))
    sets = {name: set(words) for name, words in named if words}  # DynamoDB does not store empty sets
    flags = {name: True for name, is_set in (("deny", deny), ("forwarded", forwarded)) if is_set}
    return {"principal": principal, "record": _AUTH, **sets, **flags, **_noted(note, now)}


def relay_values(principal: str, network: str, *, note: str = "", now: datetime) -> Values:
    """Return the record that lets the hosts of a network relay for a domain, or for every domain (`*`).

    network: canonical CIDR; intake skips anything else.
    """
    return {"principal": principal, "record": f"{_RELAY}{network}", **_noted(note, now)}


def _noted(note: str, now: datetime) -> Values:
    return {"note": note, "updated_at": now.isoformat(timespec="seconds")}


@dataclass(frozen=True, slots=True)
class AuthChange:
    """What changes in an auth record; everything else stays as it is.

    values: attributes to set. added, taken: words of sets. removed: attributes to take away.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    added: Mapping[str, Iterable[str]] = field(default_factory=dict)
    taken: Mapping[str, Iterable[str]] = field(default_factory=dict)
    removed: Iterable[str] = ()


class SenderRecords:
    """The same records for an operator, who writes them. No function that handles mail may write them."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def put(self, record: Values) -> None:
        """Put the result of relay_values or digest_values; it replaces an existing record."""
        self._client.put_item(TableName=self._table, Item=to_wire(record))

    def change_auth(self, principal: str, change: AuthChange, now: datetime) -> Values:
        """Change an auth record, or make one; return it as it is now."""
        values = {"updated_at": now.isoformat(timespec="seconds"), **change.values}
        added, taken = (
            {name: set(words) for name, words in sets.items() if words}
            for sets in (change.added, change.taken)
        )
        clauses = (
            ("SET", [f"#{name} = :{name}" for name in values]),
            ("ADD", [f"#{name} :{name}_added" for name in added]),
            ("DELETE", [f"#{name} :{name}_taken" for name in taken]),
            ("REMOVE", [f"#{name}" for name in change.removed]),
        )
        named = {*values, *added, *taken, *change.removed}
        response = self._client.update_item(
            TableName=self._table,
            Key=to_wire({"principal": principal, "record": _AUTH}),
            UpdateExpression=" ".join(f"{word} {', '.join(each)}" for word, each in clauses if each),
            ExpressionAttributeNames={f"#{name}": name for name in named},
            ExpressionAttributeValues=to_wire(
                {f":{name}": value for name, value in values.items()}
                | {f":{name}_added": words for name, words in added.items()}
                | {f":{name}_taken": words for name, words in taken.items()}
            ),
            ReturnValues="ALL_NEW",
        )
        return from_wire(response["Attributes"])

    def auth_record(self, principal: str) -> Values | None:
        """Return an auth record, with a consistent read; None if there is none."""
        key = to_wire({"principal": principal, "record": _AUTH})
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return from_wire(item) if item else None

    def remove_auth(self, principal: str) -> bool:
        """Remove an auth record; return whether there was one."""
        return self._remove(principal, _AUTH)

    def remove_relay(self, principal: str, network: Network) -> bool:
        """Remove a relay record; return whether there was one."""
        return self._remove(principal, f"{_RELAY}{network}")

    def remove_digest(self, principal: str) -> bool:
        """Remove a digest record; return whether there was one."""
        return self._remove(principal, _DIGEST)

    def digest_records(self) -> Iterator[Values]:
        """Yield all digest records, including those that cannot be read."""
        yield from self._scanned("#record = :record", _DIGEST)

    def auth_records(self) -> Iterator[Values]:
        """Yield all auth records, including those that intake cannot read."""
        yield from self._scanned("#record = :record", _AUTH)

    def relay_records(self, principal: str | None = None) -> Iterator[tuple[Values, str]]:
        """Yield the relay records of one principal or of all, each with its network as text."""
        if principal is None:
            items = self._scanned("begins_with(#record, :record)", _RELAY)
        else:
            items = self._queried(principal)
        for item in items:
            yield item, item["record"].removeprefix(_RELAY)

    def networks(self, principal: str, unreadable: Unreadable) -> Iterator[Network]:
        """Yield a principal's networks as intake reads them."""
        items = (item for item, _ in self.relay_records(principal))
        return (record.network for record in readable(items, _relay_record, unreadable))

    def _remove(self, principal: str, record: str) -> bool:
        response = self._client.delete_item(
            TableName=self._table,
            Key=to_wire({"principal": principal, "record": record}),
            ReturnValues="ALL_OLD",
        )
        return bool(response.get("Attributes"))

    def _scanned(self, condition: str, record: str) -> Iterator[Values]:
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression=condition,
            ExpressionAttributeNames={"#record": "record"},
            ExpressionAttributeValues=to_wire({":record": record}),
        )
        for page in pages:
            yield from map(from_wire, page["Items"])

    def _queried(self, principal: str) -> Iterator[Values]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="principal = :principal AND begins_with(#record, :record)",
            ExpressionAttributeNames={"#record": "record"},
            ExpressionAttributeValues=to_wire({":principal": principal, ":record": _RELAY}),
        )
        for page in pages:
            yield from map(from_wire, page["Items"])


def _relay_record(item: Values) -> RelayRecord:
    # Canonical CIDR only: a network with host bits, or with a mask instead of a length, could be ambiguous.
    network = item["record"].removeprefix(_RELAY)
    _, slash, length = network.partition("/")
    if slash and not length.isdigit():
        raise ValueError(f"no prefix length: {network!r}")
    return RelayRecord(item["principal"], ip_network(network))
