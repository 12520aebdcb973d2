"""The text of a field's bytes: charsets and encoded words (RFC 2047), as far as they can be decoded."""

import codecs
import functools
import re
from binascii import a2b_base64, a2b_qp

LONGEST_TEXT = 1000  # characters of a sender or subject: more than any report shows
_LONGEST_FIELD = 16 * 1024  # bytes that are decoded: limits the work that one field can cause

_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([BbQq])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t]+(?==\?)")  # RFC 2047 6.2: white space between words is not shown
_SURROGATES = re.compile("[\ud800-\udfff]")
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"})


def field_text(value: bytes) -> str:
    """Return a field's bytes as text, with encoded words left as they are; cut, hostile."""
    value = value[:_LONGEST_FIELD]
    try:
        return value.decode()  # RFC 6532
    except UnicodeDecodeError:
        return value.decode("latin-1")  # not allowed, but the most common violation


def storable(text: str, length: int = LONGEST_TEXT) -> str:
    """Return a text cut to the length that a row stores, without characters that UTF-8 cannot encode."""
    text = text[:length]
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def decoded(value: bytes) -> str:
    """Return the text of an unstructured field (RFC 5322 3.6.5), its encoded words decoded; cut, hostile."""
    return storable(decode_words(field_text(value)))


def decode_words(text: str) -> str:
    """Decode encoded words (RFC 2047), also within other text; anything else is left unchanged."""
    if "=?" not in text:
        return text
    text = _BETWEEN_WORDS.sub(r"\1", text)
    parts: list[str] = []
    pending, charset, end = b"", "", 0
    for match in _ENCODED_WORD.finditer(text):
        # Adjacent words may share a character, in spite of RFC 2047 5: one charset is decoded at once.
        if match.start() != end or match[1].lower() != charset:
            parts += [_bytes_decoded(pending, charset), text[end : match.start()]]
            pending, charset = b"", match[1].lower()
        pending += _word_bytes(match[2], match[3])
        end = match.end()
    return "".join([*parts, _bytes_decoded(pending, charset), text[end:]])


def _word_bytes(encoding: str, word: str) -> bytes:
    data = word.encode("utf-8", "replace")
    if encoding in "Qq":
        return a2b_qp(data, header=True)
    try:
        return a2b_base64(data + b"==")  # data that is padded already may have more padding
    except ValueError:  # one letter too many
        return a2b_base64(re.sub(rb"[^A-Za-z0-9+/]", b"", data)[:-1] + b"==")


def _bytes_decoded(data: bytes, charset: str) -> str:
    if not data:
        return ""
    try:
        return data.decode(_codec(charset), "replace")
    except (LookupError, ValueError):
        return data.decode("latin-1")


@functools.lru_cache(maxsize=256)
def _codec(charset: str) -> str:
    try:
        codec = codecs.lookup(charset)
        b"x".decode(charset, "replace")  # raises LookupError for a codec that is not a text encoding
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if codec.name.replace("-", "_") in _NO_CHARSETS else codec.name
