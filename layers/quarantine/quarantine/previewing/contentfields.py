"""A Content-Type or Content-Disposition (RFC 2045 5.1, RFC 2183): a word with parameters; hostile."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from quarantine.mail.charsets import LONGEST_FIELD, decode_words, labelled_text

# A quoted string that is not closed ends with the field. Outlook writes names with spaces without quotes.
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"?+|[^;]*+)', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ContentField:
    """A structured field. word: in lower case. parameters: by their names in lower case; the first counts."""

    word: str
    parameters: Mapping[bytes, bytes]

    def octets(self, name: bytes) -> bytes:
        """Return a parameter as it stands, without its quotes; empty if it is missing."""
        return self.parameters.get(name, b"")

    def text(self, name: bytes) -> str:
        """Return a parameter as hostile text, in any of the ways in which programs encode it."""
        if (extended := self.parameters.get(name + b"*")) is not None:  # RFC 2231 4
            return _extended([(True, extended)])
        if segments := list(self._segments(name)):
            return _extended(segments)
        return decode_words(self.octets(name))  # RFC 2047 5 forbids these words here; Outlook writes them

    def _segments(self, name: bytes) -> list[tuple[bool, bytes]]:
        """Return the segments of a value (RFC 2231 3), each with whether it is percent-encoded."""
        found: list[tuple[bool, bytes]] = []
        for number in range(len(self.parameters)):
            plain = b"%b*%d" % (name, number)
            if (encoded := self.parameters.get(plain + b"*")) is not None:
                found.append((True, encoded))
            elif (value := self.parameters.get(plain)) is not None:
                found.append((False, value))
            else:
                break
        return found


def read_content_field(value: bytes) -> ContentField:
    """Take a field apart, in linear time; never raises."""
    value = value[:LONGEST_FIELD]
    parameters: dict[bytes, bytes] = {}
    for match in _PARAMETER.finditer(value):
        parameters.setdefault(match[1].lower(), _unquoted(match[2]))
    return ContentField(value.partition(b";")[0].strip().lower().decode("latin-1"), parameters)


def _unquoted(value: bytes) -> bytes:
    if not value.startswith(b'"'):
        return value.strip()
    return _QUOTED_PAIR.sub(rb"\1", value[1:].removesuffix(b'"'))


def _extended(segments: list[tuple[bool, bytes]]) -> str:
    """Decode segments, of which the first names the charset: `utf-8'en'%E2%82%AC`."""
    label = b""
    is_encoded, first = segments[0]
    if is_encoded and first.count(b"'") > 1:
        label, _, first = first.split(b"'", 2)
        segments = [(True, first), *segments[1:]]
    data = b"".join(unquote_to_bytes(value) if encoded else value for encoded, value in segments)
    return labelled_text(data, label)
