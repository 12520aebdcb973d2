"""S3's messages on the queue: they name new objects in the bucket under held/."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from quarantine.holding.contract import PREFIX


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An S3 object that a notification names. record: S3's own record, to send it again."""

    bucket: str
    key: str
    record: Mapping[str, Any]


class MalformedNotification(ValueError):
    """The text is not an S3 notification about objects under held/; the message says why."""


def parse_notification(body: str) -> tuple[ObjectCreated, ...]:
    """Read a message from S3; return () for the test message that S3 sends when notifications are set up.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    Raises MalformedNotification.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise MalformedNotification(f"not JSON: {body[:100]!a}") from e
    match message:
        case {"Service": "Amazon S3", "Event": "s3:TestEvent"}:
            return ()
        case {"Records": [*records]} if records:
            return tuple(_objects(records))
        case _:
            raise MalformedNotification(f"no Records: {body[:100]!a}")


def _objects(records: list[Any]) -> Iterator[ObjectCreated]:
    for record in records:
        match record:
            case {
                "eventSource": "aws:s3",
                "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
            }:
                key = unquote_plus(key)  # S3 encodes it like a URL's query
            case _:
                raise MalformedNotification(f"not of S3: {json.dumps(record)[:100]}")
        if not key.startswith(PREFIX) or not _is_utf8(key):
            raise MalformedNotification(f"no key under {PREFIX}: {key[:100]!a}")
        yield ObjectCreated(bucket, key, record)


def _is_utf8(key: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in key)
