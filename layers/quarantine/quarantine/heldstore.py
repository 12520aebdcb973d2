"""Where hold puts what it decided: rows into the quarantine table, rejections onto the dead-letter queue."""

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from quarantine.addresses import Address
from quarantine.holding import Hold, Rejected
from quarantine.mailheader import HeldMail
from quarantine.report import HoldReason

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient


class HeldRows:
    """The rows of held mails, a row for each recipient."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def put(self, recipient: Address, hold: Hold, expires_at: datetime) -> bool:
        """Put the row of one recipient; tell whether it is new. One that is there stays as it is.

        So an object that comes again, after its mail was released, say, is not held anew. Another object with
        the same Message-ID and the same second is another mail, and gets an id of its own.
        """
        if (raw_key := self._put_held(recipient, hold, hold.mail.message_id, expires_at)) is None:
            return True
        if raw_key == hold.raw_key:
            return False
        own_id = f"{hold.mail.message_id} {sha256(hold.raw_key.encode()).hexdigest()}"
        return self._put_held(recipient, hold, own_id, expires_at) is None

    def _put_held(self, recipient: Address, hold: Hold, message_id: str, expires_at: datetime) -> str | None:
        """Put a row; if there is one, change nothing and return that one's raw_key, "" when it has none."""
        item = held_item(
            *(recipient, hold.mail, message_id, hold.received_at, hold.reason, int(expires_at.timestamp())),
            score=hold.score,
            size=hold.size,
            raw_key=hold.raw_key,
        )
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(entry)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as e:
            return _raw_key_of(e)
        return None


class HeldDeadLetters:
    """Where objects wait that make no row, each with the reason."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, body: str, rejected: Rejected) -> None:
        """Keep a notification, to be sent again when the cause is mended.

        Its attributes `rejection` and `detail` say why; what SQS itself moves here has none.
        """
        self._client.send_message(
            QueueUrl=self._queue_url,
            MessageBody=body,
            MessageAttributes={
                name: {
                    "DataType": "String",
                    "StringValue": value.encode("ascii", "backslashreplace").decode(),
                }
                for name, value in (("rejection", rejected.reason.value), ("detail", rejected.detail))
            },
        )


def held_item(  # noqa: PLR0917 - the row's attributes
    recipient: Address,
    mail: HeldMail,
    message_id: str,
    received_at: datetime,
    reason: HoldReason,
    expires_at: int,
    score: Decimal | None = None,
    size: int | None = None,
    raw_key: str | None = None,
) -> dict[str, Any]:
    """Return the row of a held message as the wire of DynamoDB has it.

    expires_at: epoch seconds. What is None is left out.
    """
    time = iso(received_at)
    item = {
        "recipient": {"S": str(recipient)},
        "entry": {"S": f"{time}#{message_id}"},
        "message_id": {"S": message_id},
        "received_at": {"S": time},
        "sender": {"S": mail.sender},
        "subject": {"S": mail.subject},
        "reason": {"S": reason.value},
        "status": {"S": "held"},
        "expires_at": {"N": str(expires_at)},
    }
    if score is not None:
        item["score"] = {"N": str(score)}
    if size is not None:
        item["size"] = {"N": str(size)}
    if raw_key is not None:
        item["raw_key"] = {"S": raw_key}
    return item


def iso(time: datetime) -> str:
    """Return a time as the quarantine table has it: UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def _raw_key_of(error: ClientError) -> str:
    """Return the raw_key of the row at which a condition failed; "" when it has none."""
    response: dict[str, Any] = {**error.response}
    return str(response.get("Item", {}).get("raw_key", {}).get("S", ""))
