"""The hold function: the cost of a held mail by its size, and rows a second, beside bare PutItem calls."""

import gc
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from zlib import crc32

import boto3
from botocore.awsrequest import AWSResponse
from rich.table import Table

from functions.hold import app
from lab.bench.figures import Spread, interleaved
from lab.bench.targets import Measured
from lab.bench.wire import Raw, new_session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SIZES = (2 * 1024, 64 * 1024, 1024 * 1024, 10 * 1024 * 1024)
_ROUNDS = 9
_BATCH = 10  # messages per invocation, as in the event source mapping
_MAILS = 100  # per sample

METHOD = f"""\
Batches of {_BATCH} notifications, an object of one recipient each, through the real handler; CPU
(process_time) of one warm process. AWS is answered at botocore's level (`before-send`): S3 with the range of
the mail that was asked for, cut from a mail of the size that the row names, DynamoDB and S3's tagging with an
empty answer: no network, no TLS. calls: GetObject, PutItem, PutObjectTagging. read: bytes that the object's
range brought. flat: beside the smallest mail of the round. bare: a PutItem of the same row, with the same
condition, on a boto3 client and nothing else. Rows a second: the same, as wall clock. Median (least-most) of
{_ROUNDS} rounds of {_MAILS} mails, A B A B; ratios within a round.
"""


def measured(environ: Mapping[str, str]) -> Measured:
    rows = Table(title="A held mail, ms of CPU", title_justify="left")
    for name in ("mail", "read", "calls", "CPU", "flat", "/ bare PutItem", "rows a second"):
        rows.add_column(name, justify="left" if name == "mail" else "right", no_wrap=True)
    subjects = [_Subject(environ, size) for size in _SIZES]
    bare = _Bare(subjects[0].item)
    work: dict[str, Callable[[], None]] = {"bare": bare} | {str(each.size): each for each in subjects}
    samples = interleaved({name: _sampler(each) for name, each in work.items()}, _ROUNDS)
    cpu = {name: [sample[0] for sample in taken] for name, taken in samples.items()}
    rates = {name: [1000 / sample[1] for sample in taken] for name, taken in samples.items()}
    for each in subjects:
        own = cpu[str(each.size)]
        rows.add_row(
            f"{each.size // 1024} KB",
            f"{each.read // 1024} KB",
            str(sum(each.calls.values())),
            str(Spread.of(own)),
            str(Spread.of_ratios(own, cpu[str(_SIZES[0])])),
            str(Spread.of_ratios(own, cpu["bare"])),
            str(Spread.of(rates[str(each.size)])),
        )
    rows.add_row("bare PutItem", "", "1", str(Spread.of(cpu["bare"])), "", "1", str(Spread.of(rates["bare"])))
    return Measured(rows)


def _sampler(work: Callable[[], None]) -> Callable[[], tuple[float, float]]:
    """Return a function that does the work and returns the milliseconds of CPU and wall clock of a mail."""

    def sample() -> tuple[float, float]:
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        spent = time.process_time() - cpu, time.perf_counter() - wall
        return spent[0] * 1000 / _MAILS, spent[1] * 1000 / _MAILS

    return sample


class _Subject:
    """The handler, and a mail of one size. After a call, `item`, `read` and `calls` describe one mail."""

    def __init__(self, environ: Mapping[str, str], size: int) -> None:
        self.size = size
        self.item: Mapping[str, Any] = {}
        session = new_session()
        aws = _Aws(session, _mail(size))
        session.events.register_first("before-parameter-build.dynamodb.PutItem", self._put)
        self._handler = app.make_handler(environ, session)
        self._batches = [
            {"Records": [_message(environ["MAIL_BUCKET"], number + place) for place in range(_BATCH)]}
            for number in range(0, _MAILS, _BATCH)
        ]
        self._handler({"Records": [_message(environ["MAIL_BUCKET"], 0)]}, None)
        self.read, self.calls = aws.read, dict(aws.calls)

    def _put(self, params: Mapping[str, Any], **_: object) -> None:
        self.item = dict(params)

    def __call__(self) -> None:
        for batch in self._batches:
            if self._handler(batch, None) != {"batchItemFailures": []}:
                raise RuntimeError("a held mail failed")


_ANSWERS = {"PutItem": b"{}", "Query": b'{"Items": [], "Count": 0}'}  # Query: no schedule covers anybody


class _Bare:
    """PutItem calls and nothing else."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        session = new_session()
        _Aws(session, b"")
        self._client: DynamoDBClient = session.client("dynamodb")
        self._call: Any = call

    def __call__(self) -> None:
        for _ in range(_MAILS):
            self._client.put_item(**self._call)


class _Aws:
    """Answers as S3 and DynamoDB would."""

    def __init__(self, session: boto3.Session, mail: bytes) -> None:
        self.read = 0
        self.calls: Counter[str] = Counter()
        self._mail = mail
        session.events.register_first("before-send", self._answer)  # type: ignore[arg-type]  # it may answer

    def _answer(self, event_name: str, request: Any, **_: object) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        self.calls[operation] += 1
        if operation == "GetObject":
            return self._object(request)
        body = _ANSWERS.get(operation, b"")
        headers = {"x-amzn-RequestId": "0" * 52, "x-amz-crc32": str(crc32(body))}
        return AWSResponse(request.url, 200, headers, Raw(body))  # type: ignore[arg-type]

    def _object(self, request: Any) -> AWSResponse:
        asked = request.headers["Range"]
        first, _, last = (asked.decode() if isinstance(asked, bytes) else asked)[6:].partition("-")
        body = self._mail[int(first) : int(last) + 1]
        self.read += len(body)
        headers = {
            "Content-Length": str(len(body)),
            "Content-Range": f"bytes {first}-{int(first) + len(body) - 1}/{len(self._mail)}",
            "Last-Modified": "Mon, 23 Nov 2026 12:00:00 GMT",
            "ETag": '"0123456789abcdef0123456789abcdef"',
            "x-amz-meta-recipients": "bob@example.com",
            "x-amz-meta-reason": "spam",
            "x-amz-request-id": "0" * 16,
        }
        return AWSResponse(request.url, 206, headers, Raw(body))  # type: ignore[arg-type]


def _message(bucket: str, number: int) -> dict[str, str]:
    created = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": unquote(f"held/{number:064x}"), "size": 1}},
    }
    return {"messageId": str(number), "body": json.dumps({"Records": [created]})}


def _mail(size: int) -> bytes:
    header = (
        "Received: from out.parcels.example (out.parcels.example [192.0.2.25])\r\n"
        "\tby mx.example.com (Postfix) with ESMTPS id 4XyZ; Mon, 23 Nov 2026 12:00:00 +0100\r\n"
        f"DKIM-Signature: v=1; a=rsa-sha256; d=parcels.example; b={'B' * 340}\r\n"
        "From: =?utf-8?q?P=C3=A4ckchen?= <news@parcels.example>\r\n"
        "To: bob@example.com\r\n"
        "Subject: =?utf-8?b?SWhyIFBha2V0IGtvbm50ZSBuaWNodCB6dWdlc3RlbGx0IHdlcmRlbg==?=\r\n"
        "Date: Mon, 23 Nov 2026 12:00:00 +0100\r\nMessage-ID: <0123456789abcdef@parcels.example>\r\n"
        "X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=26.4 required=5.0 tests=[GTUBE=1000]\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    ).encode()
    line = b"Please confirm your address before Friday.\r\n"
    body: Sequence[bytes] = [line] * ((size - len(header)) // len(line) + 1)
    return (header + b"".join(body))[:size]
