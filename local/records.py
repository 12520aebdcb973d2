"""Puts records into the tables directly: for the demo, the tests and the benchmark."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from quarantine.acting.asks import Ask
from quarantine.digests.schedule import Schedule, Weekday
from quarantine.held import HoldReason
from quarantine.mail.addresses import Address
from quarantine.mail.lenient import ShownHeader
from quarantine.stores.asks import Asks
from quarantine.stores.items import from_wire, to_wire
from quarantine.stores.quarantine import held_row
from quarantine.stores.senders import auth_values, digest_values, relay_values

_KEPT_FOR = timedelta(days=14)


class Records:
    """Writes into the tables of one stack."""

    def __init__(self, session: boto3.Session, environ: Mapping[str, str]) -> None:
        self._client = session.client("dynamodb")
        self._environ = environ

    def put_relay(self, principal: str, network: str) -> None:
        """Let the hosts of a network relay for a domain, or for every domain (`*`)."""
        self.put("SENDERS_TABLE", relay_values(principal, network, now=datetime.now(UTC)))

    def put_auth(
        self,
        principal: str,
        accept: Iterable[str] = (),
        *,
        deny: bool = False,
        mailboxes: Iterable[str] = (),
        forwarded: bool = False,
        administrators: Iterable[str] = (),
    ) -> None:
        """Accept methods as proof of an address, a domain or everybody (`*`)."""
        record = auth_values(
            principal,
            accept,
            deny=deny,
            mailboxes=mailboxes,
            forwarded=forwarded,
            administrators=administrators,
            now=datetime.now(UTC),
        )
        self.put("SENDERS_TABLE", record)

    def put_digest(
        self,
        principal: str,
        *at: str,
        days: Iterable[str] = tuple(Weekday),
        zone: str = "UTC",
        everyone: bool = False,
        now: datetime | None = None,
    ) -> None:
        """Let reports come to an address, a domain or everybody (`*`); without a time, let none come.

        now: when the schedule is changed.
        """
        schedule = Schedule.parse(at, tuple(days), zone) if at else None
        record = digest_values(principal, schedule, everyone=everyone, now=now or datetime.now(UTC))
        self.put("SENDERS_TABLE", record)

    def put_held(
        self,
        recipient: str,
        message_id: str,
        received_at: datetime,
        sender: str,
        subject: str,
        **over: object,
    ) -> None:
        """Hold a message, as spam and for two weeks; `over` replaces attributes."""
        shown = ShownHeader(sender, subject, message_id, received_at)
        row = held_row(
            Address.parse(recipient),
            shown,
            message_id,
            received_at,
            HoldReason.SPAM,
            received_at + _KEPT_FOR,
            noted_at=received_at,
        )
        self.put("QUARANTINE_TABLE", from_wire(row) | over)

    def asks(self) -> Iterator[Ask]:
        """Yield what is asked of the administrators."""
        return Asks(self._client, self._environ["REQUESTS_TABLE"], lambda *_: None).all()

    def put(self, table: str, item: Mapping[str, Any]) -> None:
        """Put any item, even an unreadable one. table: the name of its environment variable."""
        self._client.put_item(TableName=self._environ[table], Item=to_wire(item))

    def request(self, request_id: str) -> dict[str, Any] | None:
        """Return the row of a request, as an operator sees it."""
        response = self._client.get_item(
            TableName=self._environ["REQUESTS_TABLE"],
            Key={"request_id": {"S": request_id}},
            ConsistentRead=True,
        )
        return response.get("Item")
