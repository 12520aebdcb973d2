"""The text of a part: its transfer encoding and its charset undone, whatever either really is."""

from binascii import Error, a2b_base64, a2b_qp
from typing import Final

from quarantine.mail.charsets import text_of
from quarantine.mail.labels import UNKNOWN, codec_of
from quarantine.previewing.structure import Part

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64: Final = bytes(set(range(256)) - set(_BASE64))


def read_text(raw: bytes, part: Part, most: int) -> str:
    """Return the text of a part, decoded from at most about `most` bytes."""
    data = raw[part.start : min(part.end, part.start + _encoded_length(part, most))]
    match part.encoding:
        case "base64":
            data = _base64(data)
        case "quoted-printable":
            data = a2b_qp(data)
        case _:
            pass
    return text_of(data[:most], codec_of(part.charset) if part.charset else UNKNOWN)


def decoded_size(raw: bytes, part: Part) -> int:
    """Return about how many bytes a part has when it is decoded, without decoding it."""
    length = part.end - part.start
    if part.encoding != "base64":
        return length
    ends = raw.count(b"\n", part.start, part.end) + raw.count(b"\r", part.start, part.end)
    padding = raw.count(b"=", max(part.start, part.end - 8), part.end)
    return max(0, (length - ends) * 3 // 4 - padding)


def _encoded_length(part: Part, most: int) -> int:
    match part.encoding:
        case "base64":
            return most * 2
        case "quoted-printable":
            return most * 3
        case _:
            return most


def _base64(data: bytes) -> bytes:
    letters = data.translate(None, _NOT_BASE64)
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    try:
        return a2b_base64(letters + b"==")
    except Error:
        return data
