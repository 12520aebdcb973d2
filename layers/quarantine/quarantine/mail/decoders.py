"""Bytes of a charset as text, also where Python's decoder knows fewer characters than the Encoding Standard.

The indexes are those of https://encoding.spec.whatwg.org/#indexes; what is here is the difference.
"""

import functools
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Mapping
from typing import Final

UNREADABLE: Final = "\ufffd"


def decode(data: bytes, codec: str) -> str:
    """Decode bytes; what the charset does not have becomes U+FFFD. codec: one that `labels` names."""
    special = _SPECIAL.get(codec)
    return special(data) if special else data.decode(codec, "replace")


# --- Single bytes ---

_KOI8_U = str.maketrans("╝╬", "ўЎ")  # the letters of Belarusian, as in KOI8-RU


def _koi8_u(data: bytes) -> str:
    return data.decode("koi8-u", "replace").translate(_KOI8_U)


def _windows_1255(data: bytes) -> str:
    # 0xCA, HOLAM HASER FOR VAV: newer than Python's table
    return "\u05ba".join(part.decode("cp1255", "replace") for part in data.split(b"\xca"))


# --- Unicode ---


def _utf_16_le(data: bytes) -> str:
    if data.startswith(BOM_UTF16_BE):
        return data[2:].decode("utf-16-be", "replace")
    return data.removeprefix(BOM_UTF16_LE).decode("utf-16-le", "replace")


# --- Chinese ---

# What Python's gb18030 still reads as private characters, in the order of its code.
_GB18030 = str.maketrans(
    "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7"
    "\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
    "\u3000\ufe10\ufe12\ufe11\ufe13\ufe14\ufe15\ufe16\ufe17\ufe18\ufe19\u1e3f龴龵龶龷龸龹龺龻",
)
_GB_CHARACTER = re.compile(rb"[\x81-\xfe].|\x80", re.DOTALL)
_GB_EURO = "€".encode("gb18030")


def _gb18030(data: bytes) -> str:
    if b"\x80" in data:  # on its own it is the euro sign, as in windows-936
        data = _GB_CHARACTER.sub(lambda match: _GB_EURO if match[0] == b"\x80" else match[0], data)
    return data.decode("gb18030", "replace").translate(_GB18030)


# Runs of characters, each from the code before it, that Python's big5hkscs does not have or reads as others.
_BIG5 = """
877A 㡵𡵓𣚞𦀡㻬
87A1 𥣞㫵竼龗𤅡𨤍𣇪𠪊𣉞䌊蒄龖鐯䤰蘓墖靊鈘秐稲晠権袝瑌篅枂稬剏遆㓦珄𥶹瓆鿇垳
87C4 䤯呌䄱𣚎堘穲𧭥讏䚮𦺈䆁𥶙箮𢒼鿈𢓁𢓉𢓌鿉蔄𣖻䂴鿊䓡𪷿拁灮鿋
8E69 箸  8E6F 簆  8E7E 糎  8EAB 緒  8EB4 縝  8ECD 者  8ED0 耨  8F57 菁  8F69 蒨  8F6E 萏  8FCB 覦覩
8FFE 起  906D 都  907A 銹  90DC 靜  90F1 響  91BF 鼖  9244 蔃  92AF 兙兛兝兞  92C8 鍮  92D1 瑹  9447 浧
94CA 禛  95D9 邗  9644 靝  96ED 瀞  96FC 嬨  9B76 爁  9B78 矗  9B7B 纇  9BC6 駖  9BDE 釔  9BEC 惞
9BF6 澶  9C42 輶  9C53 侻  9C62 營  9C68 鄄  9C6B 鷰  9C77 菏  9CBC 尐秣  9CD0 婧  9D57 輋  9D5A 筑
9DC4 拐  9EA9 恢  9EEF 痹  9EFD 汊  9F60 鬮  9F66 鼗  9FCB 僭  9FD8 弌  A063 蠏  A077 拎  A0D5 瑨
A0DF 煢  A0E4 牐  A145 ‧  A14E ﹑  A1C2 ¯  A1E3 ～  A1F2 ⊕⊙  A241 ∕﹨  A244 ￥  A246 ￠￡
A3C0 ␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟␡€  C6CF 廴  C6D3 无  C6D5 癶  C6D7 隶  C6DE 〃仝  FA5F 倩  FA66 偽
FABD 包  FAC5 卄  FAD5 卿  FB48 嘅  FBB8 婷  FBF3 幵  FBF9 廐  FC4F 彘  FC6C 悤  FCB9 撐  FCE2 晴
FCF1 杞  FDB7 沜渝  FDBB 港  FDF1 煮  FE52 猪  FE6F 瑜  FEAA 瓩  FEDD 砉
"""
_DOUBLE_BYTE = re.compile(rb"[\x81-\xfe][\x40-\x7e\xa1-\xfe]")


@functools.cache
def _big5_index() -> Mapping[bytes, str]:
    words = _BIG5.split()
    runs = zip(words[::2], words[1::2], strict=True)
    return {
        (int(start, 16) + offset).to_bytes(2): char
        for start, chars in runs
        for offset, char in enumerate(chars)
    }


def _big5(data: bytes) -> str:
    parts: list[str] = []
    index, start = _big5_index(), 0
    for match in _DOUBLE_BYTE.finditer(data):
        if (char := index.get(match[0])) is not None:
            parts += [data[start : match.start()].decode("big5hkscs", "replace"), char]
            start = match.end()
    return "".join([*parts, data[start:].decode("big5hkscs", "replace")])


# --- Japanese ---

# Of Python's decoders only cp932 knows rows 13 and 89 to 92 of JIS X 0208, so it decodes all rows.
_PAIRS = re.compile(rb"(?:[\x21-\x7e]{2})+|.", re.DOTALL)
_EUC_JP = re.compile(
    rb"(?P<rows>(?:[\xa1-\xfe]{2})+)|(?P<supplement>(?:\x8f[\xa1-\xfe]{2})+)|(?:[\x00-\x7f]|\x8e[\xa1-\xdf])+|.",
    re.DOTALL,
)
_TO_7_BITS = bytes(range(0x80)) * 2
_TO_8_BITS = bytes(range(0x80, 0x100)) * 2
_ESCAPE = re.compile(rb"\x1b(\([BIJ]|\$[@B]|\$\(D)")
_ROMAN = str.maketrans("\\~", "¥‾")
_CP932_PRIVATE = str.maketrans("\uf8f0\uf8f1\uf8f2\uf8f3", UNREADABLE * 4)  # 0xA0, 0xFD to 0xFF


def _shift_jis(data: bytes) -> str:
    return data.decode("cp932", "replace").translate(_CP932_PRIVATE)


def _rows(data: bytes) -> str:
    """Decode pairs of bytes, a row and a cell of JIS X 0208, each 0x21 to 0x7E."""
    shifted = bytearray()
    for row, cell in zip(data[::2], data[1::2], strict=True):
        # Shift_JIS has two rows in one lead byte, and leaves out 0xA0 to 0xDF and the trail byte 0x7F.
        shifted.append((row + 1) // 2 + (0x70 if row < 0x5F else 0xB0))  # noqa: PLR2004
        shifted.append(cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20))  # noqa: PLR2004
    return shifted.decode("cp932", "replace")


def _supplement(data: bytes) -> str:
    """Decode characters of JIS X 0212 as EUC-JP has them, three bytes each."""
    return data.decode("euc-jp", "replace").replace("~", "～")  # 0x8FA2B7


def _euc_jp(data: bytes) -> str:
    return "".join(map(_euc_jp_part, _EUC_JP.finditer(data)))


def _euc_jp_part(match: re.Match[bytes]) -> str:
    match match.lastgroup:
        case "rows":
            return _rows(match[0].translate(_TO_7_BITS))
        case "supplement":
            return _supplement(match[0])
        case _:
            return match[0].decode("euc-jp", "replace")


def _iso_2022_jp(data: bytes) -> str:
    # Python's decoder ends a two-byte part at a line break, too; a field has none.
    first, *rest = _ESCAPE.split(data)
    return first.decode("ascii", "replace") + "".join(map(_iso_2022_jp_part, rest[::2], rest[1::2]))


def _iso_2022_jp_part(designation: bytes, part: bytes) -> str:
    match designation:
        case b"(B":
            return part.decode("ascii", "replace")
        case b"(J":
            return part.decode("ascii", "replace").translate(_ROMAN)
        case b"(I":
            return _shift_jis(part.translate(_TO_8_BITS))
        case b"$(D":  # of ISO-2022-JP-1
            return "".join(_pairs(each, _supplementary) for each in _PAIRS.findall(part))
        case _:
            return "".join(_pairs(each, _rows) for each in _PAIRS.findall(part))


def _pairs(data: bytes, decode_pairs: Callable[[bytes], str]) -> str:
    return decode_pairs(data) if len(data) > 1 else UNREADABLE


def _supplementary(pairs: bytes) -> str:
    pairs = pairs.translate(_TO_8_BITS)
    return _supplement(b"".join(b"\x8f" + pairs[start : start + 2] for start in range(0, len(pairs), 2)))


# --- Korean ---


def _iso_2022_kr(data: bytes) -> str:
    designation = b"\x1b$)C"  # at the start of a text, and left out in many encoded words
    return (designation + data.replace(designation, b"")).decode("iso2022-kr", "replace")


_SPECIAL: Mapping[str, Callable[[bytes], str]] = {
    "big5": _big5,
    "cp932": _shift_jis,
    "cp1255": _windows_1255,
    "euc-jp": _euc_jp,
    "gb18030": _gb18030,
    "iso-2022-jp": _iso_2022_jp,
    "iso2022-kr": _iso_2022_kr,
    "koi8-u": _koi8_u,
    "utf-16-le": _utf_16_le,
}
