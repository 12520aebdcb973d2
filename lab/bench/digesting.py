"""What one run of digest costs for each reader who is due, and how many it serves in a second."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from rich.table import Table

from lab.bench.targets import Measured
from lab.bench.wire import Raw, new_session
from quarantine.runtime import TWO_ATTEMPTS
from quarantine.services.digesting import Digesting
from quarantine.settings import DigestSettings
from quarantine.stores.mailboxes import SHARDS

METHOD = """\
The real service over the real clients; the answers of AWS are made at the wire, at once or after 10 ms.
1,600 readers of one domain are due, each for the first time, spread over the shards. CPU is that of the
process; readers a second are by the clock. A function with 1,769 MB has one whole CPU, perhaps a slower one.
"""

_READERS = 1600
_ENVIRON = {
    "SENDERS_TABLE": "senders",
    "REQUESTS_TABLE": "requests",
    "MAILBOXES_TABLE": "mailboxes",
    "JOBS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
    "REPORTS_DOMAIN": "reports.example.com",
    "STACK_NAME": "bench",
}
_AT = 1_795_503_600  # a Monday, 07:00 UTC


class _Answers:
    """Answers as AWS does, with readers who are due. delay: seconds for each call. calls: how many."""

    def __init__(self, session: boto3.Session, delay: float) -> None:
        self._delay, self.calls = delay, 0
        session.events.register_first("before-send", self._answer)  # type: ignore[arg-type]  # it answers

    def _answer(self, event_name: str, request: Any, **_: object) -> AWSResponse:
        self.calls += 1
        if self._delay:
            time.sleep(self._delay)
        operation = event_name.rpartition(".")[2]
        body = json.dumps(_answer(operation, json.loads(request.body))).encode()
        headers = {"content-type": "application/x-amz-json-1.0"}
        return AWSResponse(request.url, 200, headers, Raw(body))  # type: ignore[arg-type]


def _answer(operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    match operation:
        case "Query":
            shard = int(asked["ExpressionAttributeValues"][":shard"]["S"])
            found = [
                {"reader": {"S": reader}, "due_at": {"N": str(_AT)}}
                for number, reader in enumerate(_readers())
                if number % SHARDS == shard
            ]
            return {"Items": found, "Count": len(found), "ScannedCount": len(found)}
        case "BatchGetItem":
            ((table, what),) = asked["RequestItems"].items()
            return {"Responses": {table: list(_rows(table, what["Keys"]))}, "UnprocessedKeys": {}}
        case "ExecuteStatement":
            record = {"principal": {"S": "example.com"}, "record": {"S": "digest"}}
            schedule = {"at": {"SS": ["07:00"]}, "zone": {"S": "UTC"}}
            return {"Items": [{**record, **schedule}]}
        case "SendMessageBatch":
            ids = [entry["Id"] for entry in asked["Entries"]]
            return {"Successful": [{"Id": each, "MessageId": each, "MD5OfMessageBody": ""} for each in ids]}
        case _:
            return {}


def _readers() -> Iterator[str]:
    return (f"user{number}@example.com" for number in range(_READERS))


def _rows(table: str, keys: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if table == "mailboxes":
        yield from (
            {**key, "due_at": {"N": str(_AT)}, "held": {"N": "1"}, "proven_at": {"N": str(_AT - 9)}}
            for key in keys
        )


def measured() -> Measured:
    table = Table(title="Readers who are due", title_justify="left")
    for name in ("AWS answers", "readers", "AWS calls", "CPU a reader (ms)", "readers a second"):
        table.add_column(name, justify="left" if name == "AWS answers" else "right")
    for name, delay in (("at once", 0.0), ("after 10 ms", 0.01)):
        session = new_session()
        answers = _Answers(session, delay)
        digesting = Digesting.on(
            DigestSettings.from_environ(_ENVIRON),
            session.client("dynamodb", config=TWO_ATTEMPTS),
            session.client("sqs", config=TWO_ATTEMPTS),
            lambda: datetime.fromtimestamp(_AT + 1, UTC),
        )
        began, cpu = time.perf_counter(), time.process_time()
        tick = digesting.tick()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        table.add_row(
            name,
            f"{tick.made:,}",
            f"{answers.calls:,}",
            f"{cpu / tick.made * 1000:.2f}",
            f"{tick.made / seconds:,.0f}",
        )
    return Measured(table)
