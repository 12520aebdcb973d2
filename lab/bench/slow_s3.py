"""`python -m lab.bench.slow_s3 PORT MILLISECONDS`: takes any object, and answers after the given time.

The latency of S3 on one machine, without its work: bodies are read and thrown away.
"""

import asyncio
import re
import sys

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WAITS = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_STORED = b'HTTP/1.1 200 OK\r\nETag: "0123456789abcdef0123456789abcdef"\r\nContent-Length: 0\r\n\r\n'


class _Connection(asyncio.Protocol):
    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._header = bytearray()
        self._left: int | None = None  # bytes of the body to come; None while the header is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            self._header += data
            end = self._header.find(b"\r\n\r\n")
            if end < 0:
                return
            header, data = bytes(self._header[:end]), bytes(self._header[end + 4 :])
            self._header.clear()
            length = _LENGTH.search(header)
            self._left = int(length[1]) if length else 0
            if _WAITS.search(header):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._left -= len(data)
        if self._left <= 0:
            self._left = None
            asyncio.get_running_loop().call_later(self._latency, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_STORED)


async def _serve(port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
