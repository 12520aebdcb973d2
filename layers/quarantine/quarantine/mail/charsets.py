"""Text out of the bytes of a field: encoded words (RFC 2047) and raw bytes, as far as they can be read.

What a label does not explain is read as UTF-8 if it is valid UTF-8, else as windows-1252. Nothing is dropped:
what cannot be read is U+FFFD, and what only looks like an encoded word stays as it stands.
"""

import re
from binascii import a2b_base64, a2b_qp
from typing import Final

from quarantine.mail.decoders import UNREADABLE, decode
from quarantine.mail.labels import UNKNOWN, codec_of

LONGEST_TEXT: Final = 1000  # characters of a sender or subject: more than any report shows
LONGEST_FIELD: Final = 16 * 1024  # bytes that are decoded: bounds the work that one field can make

_SURROGATES = re.compile("[\ud800-\udfff]")


def storable(text: str, length: int = LONGEST_TEXT) -> str:
    """Return a text cut to the length that a row stores, without characters that UTF-8 cannot encode."""
    text = text[:length]
    return text if text.isascii() else _SURROGATES.sub(UNREADABLE, text)


def decoded(value: bytes) -> str:
    """Return the text of an unstructured field (RFC 5322 3.6.5), its encoded words decoded; cut, hostile."""
    return storable(decode_words(value[:LONGEST_FIELD]))


def raw_text(value: bytes) -> str:
    """Return bytes as text, with encoded words left as they are."""
    if value.isascii() and b"\x1b$" not in value:
        return value.decode("ascii")
    # RFC 6532 allows UTF-8. Before RFC 2047, Japanese programs wrote ISO-2022-JP without encoded words.
    return _text(value, "iso-2022-jp" if b"\x1b$" in value else UNKNOWN)


def labelled_text(value: bytes, label: bytes) -> str:
    """Return the text of a body, or of any value with a label of its own; without one, as raw text."""
    return _text(value, codec_of(label.decode("latin-1"))) if label else raw_text(value)


def base64_bytes(text: bytes) -> bytes:
    """Decode base64 as far as it can be read.

    Padding may be missing, too long, or in the middle, where two encoded texts were joined.
    """
    letters = text.translate(None, _NOT_BASE64)
    return b"".join(map(_base64, letters.split(b"=")))


_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)


# --- Encoded words ---

# More than RFC 2047 allows, as lenient readers do: white space and question marks in a Q word, white space in
# a B word, any name for a charset. "?=" ends a Q word, unless an encoded byte of the same word follows.
# A word never contains the beginning of another, so unclosed words do not make the search quadratic.
_BEGINNING = rb"=\?([^?*=\s]{0,60})(?:\*[^?\s]{0,40})?\?"  # RFC 2231 5: with a language
_ENCODED_WORD = re.compile(
    rb"%b(?:[Bb]\?([A-Za-z0-9+/=\s]*+)|[Qq]\?((?:%b|%b|%b|%b)*+))\?="
    % (
        _BEGINNING,
        rb"[^?=]",
        rb"=(?!\?[^?\s]{0,100}\?[BbQq]\?)",
        rb"\?(?!=)",
        rb"\?=(?=[0-9A-F]{2}(?:[^?=]|=(?!\?)|\?(?!=)){0,200}\?=)",
    )
)
_WHOLLY_ENCODED = re.compile(rb"(?:%b\s*+)++" % _ENCODED_WORD.pattern)
_BARE_EQUALS = re.compile(rb"=(?![0-9A-Fa-f]{2})")


def decode_words(value: bytes) -> str:
    """Decode encoded words, also within other text; all other bytes are read as raw text."""
    if b"=?" not in value:
        return raw_text(value)
    parts: list[str] = []
    # A word is decoded when the next one is known, which may have the rest of its last character.
    word, codec, end = b"", UNKNOWN, 0
    for match in _ENCODED_WORD.finditer(value):
        between = value[end : match.start()]
        next_word, next_codec = _word_bytes(match), codec_of(match[1].decode("latin-1"))
        if not between.strip() and end:  # RFC 2047 6.2: white space between two is not shown
            if codec == next_codec:
                word, next_word = _at_whole_character(word, next_word, codec)
            parts.append(_text(word, codec))
        else:
            parts += [_text(word, codec), raw_text(between)]
        word, codec, end = next_word, next_codec, match.end()
    return "".join([*parts, _text(word, codec), raw_text(value[end:])])


def is_encoded(value: bytes) -> bool:
    """Return whether a value consists of encoded words only."""
    return _WHOLLY_ENCODED.fullmatch(value) is not None


def _word_bytes(match: re.Match[bytes]) -> bytes:
    if (text := match[3]) is not None:
        return a2b_qp(_BARE_EQUALS.sub(b"=3D", text), header=True)
    return base64_bytes(match[2])


def _base64(text: bytes) -> bytes:
    return a2b_base64((text[:-1] if len(text) % 4 == 1 else text) + b"==")


_LONGEST_CHARACTER = 4  # bytes, of UTF-8, GB18030 and UTF-16
_OPEN_ROWS = re.compile(rb"(\x1b\$[@B])([^\x1b]*)\Z")
_RETURN = re.compile(rb"[^\x1b]*\x1b\(")


def _at_whole_character(first: bytes, second: bytes, codec: str) -> tuple[bytes, bytes]:
    """Move the beginning of a character that was split over two words of one charset to the second.

    Any other words stay as they are, so that an unreadable word does not affect the next one.
    """
    if codec == "iso-2022-jp":
        rows = _OPEN_ROWS.search(first)
        # The second word continues the two-byte characters if its first escape sequence ends them.
        if rows is None or _RETURN.match(second) is None:
            return first, second
        whole = len(first) - len(rows[2]) % 2
        return first[:whole], rows[1] + first[whole:] + second
    if decode(first, codec)[-1:] == UNREADABLE:
        for length in range(1, _LONGEST_CHARACTER):
            joined = decode(first[-length:] + second, codec)
            # If all of it is unreadable, the character continues in a third word.
            if UNREADABLE not in decode(first[:-length], codec) and (
                joined[:1] != UNREADABLE or joined == UNREADABLE
            ):
                return first[:-length], first[-length:] + second
    return first, second


# --- Bytes ---

_UNEXPLAINED = re.compile("[\ufffd\x80-\x9f]")  # C1 controls are in no text; windows-1252 has letters there
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_C1 = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}


def _is_clean(text: str) -> bool:
    return text.isascii() or _UNEXPLAINED.search(text) is None


def _text(data: bytes, codec: str) -> str:
    """Decode bytes by their label, or else as UTF-8, or else as windows-1252."""
    if data.startswith(b"\xef\xbb\xbf"):  # a byte order mark says more than any label, as in the Standard
        data, codec = data[3:], "utf-8"
    text = decode(data, codec)
    if _is_clean(text):
        return text
    try:
        unicode = data.decode()
    except UnicodeDecodeError:
        pass
    else:
        if not data.isascii() or unicode.isprintable():
            return unicode.translate(_C1)
    unexplained = len(_UNEXPLAINED.findall(text))
    explained = len(_NOT_ASCII.findall(text)) - unexplained
    is_cut = unexplained == 1 and explained > 0 and text[-1] == UNREADABLE  # within the last character
    if explained > unexplained or is_cut or data.isascii() or codec.startswith("utf-16"):
        return text.translate(_C1)
    return data.decode("cp1252", "replace")
