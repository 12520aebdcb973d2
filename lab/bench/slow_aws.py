"""`python -m lab.bench.slow_aws PORT MILLISECONDS`: what hold asks of S3 and DynamoDB, after the given time.

The latency of AWS on one machine, without its work: each mail is the same one. What is in its key says for
how many recipients it is held, and whether it was stored with its tag.
"""

import asyncio
import re
import sys
from typing import Final

_REQUEST = re.compile(rb"([A-Z]+) (\S+) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WAITS = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *\S+\.(\w+)", re.IGNORECASE)
_KEY = re.compile(rb"/held/(tagged|plain)-(\d+)-")
_MAIL: Final = (
    b"Received: from out.parcels.example (out.parcels.example [192.0.2.25])\r\n"
    b"\tby mx.example.com (Postfix) with ESMTPS id 4XyZ; Mon, 23 Nov 2026 12:00:00 +0100\r\n"
    b"From: Parcels <news@parcels.example>\r\nTo: bob@example.com\r\nSubject: Your parcel is waiting\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0100\r\nMessage-ID: <0123456789abcdef@parcels.example>\r\n"
    b"X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=26.4 required=5.0\r\n\r\nPlease confirm.\r\n"
)
_ANSWERS = {b"Query": b'{"Items":[],"Count":0,"ScannedCount":0}'}


class _Connection(asyncio.Protocol):
    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._received = bytearray()
        self._promised = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete; a client sends the next one after the answer."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        header = bytes(self._received[: end + 2])
        if _WAITS.search(header) and not self._promised:
            self._promised = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = _LENGTH.search(header)
        if len(self._received) >= end + 4 + (int(length[1]) if length else 0):
            self._received.clear()
            self._promised = False
            asyncio.get_running_loop().call_later(self._latency, self._answer, answer(header))

    def _answer(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)


def answer(header: bytes) -> bytes:
    """Return the response to a request. header: its first line and its fields."""
    request = _REQUEST.match(header)
    assert request is not None
    if request[1] == b"GET":
        return _object(request[2])
    target = _TARGET.search(header)
    body = _ANSWERS.get(target[1], b"{}") if target else b""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _object(path: bytes) -> bytes:
    key = _KEY.search(path)
    assert key is not None
    recipients = ",".join(f"user{number}@example.com" for number in range(int(key[2]))).encode()
    tag = b"x-amz-tagging-count: 1\r\nx-amz-meta-tagged: spam\r\n" if key[1] == b"tagged" else b""
    return (
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes 0-%d/%d\r\n%b"
        b'Last-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\nETag: "0123456789abcdef0123456789abcdef"\r\n'
        b"x-amz-meta-reason: spam\r\nx-amz-meta-recipients: %b\r\n\r\n%b"
    ) % (len(_MAIL), len(_MAIL) - 1, len(_MAIL), tag, recipients, _MAIL)


async def _serve(port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
