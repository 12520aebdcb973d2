"""Records to put into the tables by hand: for the demo, the tests and the benchmark."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import boto3
from boto3.dynamodb.types import TypeSerializer

_KEPT_FOR = timedelta(days=14)
_serialize = TypeSerializer().serialize


class Records:
    """Writes into the tables of one stack."""

    def __init__(self, session: boto3.Session, environ: Mapping[str, str]) -> None:
        self._client = session.client("dynamodb")
        self._environ = environ

    def put_relay(self, principal: str, network: str) -> None:
        """Let the hosts of a network relay for a domain, or for every domain (`*`)."""
        self.put("SENDERS_TABLE", {"principal": principal, "record": f"relay#{network}"})

    def put_auth(
        self, principal: str, accept: Iterable[str] = (), *, deny: bool = False, mailboxes: Iterable[str] = ()
    ) -> None:
        """Say what proves an address, a domain or anybody (`*`). A set of DynamoDB is never empty."""
        sets = {name: set(words) for name, words in (("accept", accept), ("mailboxes", mailboxes)) if words}
        self.put("SENDERS_TABLE", {"principal": principal, "record": "auth", "deny": deny, **sets})

    def put_held(
        self,
        recipient: str,
        message_id: str,
        received_at: datetime,
        sender: str,
        subject: str,
        **over: object,
    ) -> None:
        """Hold a message: as spam and for two weeks, unless `over` has other attributes."""
        time = received_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        item = {
            "recipient": recipient,
            "entry": f"{time}#{message_id}",
            "message_id": message_id,
            "received_at": time,
            "sender": sender,
            "subject": subject,
            "reason": "spam",
            "status": "held",
            "expires_at": int((received_at + _KEPT_FOR).timestamp()),
        }
        self.put("QUARANTINE_TABLE", item | over)

    def put(self, table: str, item: Mapping[str, Any]) -> None:
        """Put any item, also one that no reader can read. table: the name of its variable."""
        wire = {name: _serialize(value) for name, value in item.items()}
        self._client.put_item(TableName=self._environ[table], Item=wire)

    def request(self, request_id: str) -> dict[str, Any] | None:
        """Return the row of a request: what an operator sees of it."""
        response = self._client.get_item(
            TableName=self._environ["REQUESTS_TABLE"],
            Key={"request_id": {"S": request_id}},
            ConsistentRead=True,
        )
        return response.get("Item")
