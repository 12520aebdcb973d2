"""Charsets and encoded words: what mail programs read in the bytes that senders write."""

import codecs
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webencodings.labels import LABELS

from quarantine.mail.charsets import LONGEST_TEXT, decode_words, decoded, storable
from quarantine.mail.decoders import decode
from quarantine.mail.labels import CODECS, UNKNOWN, codec_of
from quarantine.mail.text import clean_text


def in_a_word(label: str, data: bytes) -> str:
    return decoded(b"=?%s?B?%s?=" % (label.encode(), b64encode(data)))


# --- Labels ---

# A text in each encoding of the Standard; where there is one, with a character that only the Standard's
# superset of the label has.
SAMPLES = {
    "utf-8": (b"\xc3\xa4 \xe2\x82\xac", "ä €"),
    "ibm866": (b"\x8f\xe0\xa8\xa2\xa5\xe2", "Привет"),
    "iso-8859-2": (b"\xa3\xf3d\xbc", "Łódź"),
    "iso-8859-3": (b"\xe6iu\xbca\xfdde", "ĉiuĵaŭde"),
    "iso-8859-4": (b"R\xefga, \xbe", "Rīga, ž"),
    "iso-8859-5": (b"\xbf\xe0\xd8\xd2\xd5\xe2", "Привет"),
    "iso-8859-6": (b"\xe5\xd1\xcd\xc8\xc7", "مرحبا"),
    "iso-8859-7": (b"\xc3\xe5\xe9\xdc, \xa4", "Γειά, €"),
    "iso-8859-8": (b"\xf9\xec\xe5\xed", "שלום"),
    "iso-8859-8-i": (b"\xf9\xec\xe5\xed", "שלום"),
    "iso-8859-10": (b"\xde\xf3r\xf0ur \xbf", "Þórður ŋ"),
    "iso-8859-13": (b"\xfe\xe0sis \xd0iauliai", "žąsis Šiauliai"),
    "iso-8859-14": (b"\xf0\xfe", "ŵŷ"),
    "iso-8859-15": (b"50 \xa4, \xbduvre", "50 €, œuvre"),
    "iso-8859-16": (b"\xba\xfe \xa4", "șț €"),
    "koi8-r": (b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"),
    "koi8-u": (b"\xb7\xd6\xc1\xcb, \xae\xbe", "Їжак, ўЎ"),
    "macintosh": (b"Caf\x8e \xdb", "Café €"),
    "windows-874": (b"\xca\xc7\xd1\xca\xb4\xd5 \x80", "สวัสดี €"),
    "windows-1250": (b"Dvo\xf8\xe1k \x96 \x80", "Dvořák – €"),
    "windows-1251": (b"\xcf\xf0\xe8\xe2\xe5\xf2 \x96 \x88", "Привет – €"),
    "windows-1252": (b"\x84Caf\xe9\x93 \x80", "„Café“ €"),
    "windows-1253": (b"\xc3\xe5\xe9\xdc \xa2 \x80", "Γειά Ά €"),
    "windows-1254": (b"\xddstanbul \xfe\xf0 \x80", "İstanbul şğ €"),
    "windows-1255": (b"\xf9\xec\xe5\xca\xed \xa4", "שלו\u05baם ₪"),
    "windows-1256": (b"\xe3\xd1\xcd\xc8\xc7 \x81", "مرحبا پ"),
    "windows-1257": (b"\xfe\xe0sis \x80", "žąsis €"),
    "windows-1258": (b"Vi\xea\xf2t", "Viê\u0323t"),
    "x-mac-cyrillic": (b"\x8f\xf0\xe8\xe2\xe5\xf2 \xb6", "Привет ґ"),
    "gbk": (b"\xc4\xe3\xba\xc3 \xe9F \x80", "你好 镕 €"),
    "gb18030": (b"\xc4\xe3\xba\xc3 \x952\x826 \xa6\xd9", "你好 𠀀 ︐"),
    "big5": (b"\xad\xbb\xb4\xe4 \xf9\xd6 \xa3\xe1 \x87\xdf", "香港 碁 € 鿋"),
    "euc-jp": (b"\xc6\xfc\xcb\xdc \xad\xa1\xfc\xe2 \x8e\xb1 \x8f\xb0\xa1", "日本 ①髙 ｱ 丂"),
    "iso-2022-jp": (b"\x1b$BF|K\\-!|b\x1b(B \x1b(J\\\x1b(I1\x1b(B a", "日本①髙 ¥ｱ a"),
    "shift_jis": (b"\x93\xfa\x96\x7b \x87\x40\xfb\xfc \xb1", "日本 ①髙 ｱ"),
    "euc-kr": (b"\xbe\xc8\xb3\xe7 \x8cc", "안녕 똠"),
    "utf-16be": (b"\x4f\x60\x00a", "你a"),
    "utf-16le": (b"\x60\x4fa\x00", "你a"),
    # Not as in the Standard: see labels.py.
    "x-user-defined": ("ä".encode(), "ä"),
}
REPLACED = {
    "hz-gb-2312": (b"~{VPND~} a", "中文 a"),
    "csiso2022kr": (b"\x1b$)C\x0e>H3g\x0f a", "안녕 a"),
    "iso-2022-kr": (b"\x0e>H3g\x0f a", "안녕 a"),
    "iso-2022-cn": ("中".encode(), "中"),
    "iso-2022-cn-ext": (b"caf\xe9", "café"),
    "replacement": (b"abc", "abc"),
}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("spelling", [str, str.upper, "'{}'".format])
def test_each_label_of_the_encoding_standard(label: str, spelling: type[str]) -> None:
    data, text = SAMPLES.get(LABELS[label]) or REPLACED[label]
    assert in_a_word(spelling(label), data) == text


def test_each_encoding_and_each_replaced_label_has_a_sample() -> None:
    assert set(LABELS.values()) == {*SAMPLES, "replacement"}
    assert {label for label, name in LABELS.items() if name == "replacement"} == set(REPLACED)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        *(("utf_8", "utf-8"), ("x-utf-8", "utf-8"), ("UTF8", "utf-8"), ("cp65001", "utf-8")),
        *(("latin-1", "windows-1252"), ("ISO_8859_1", "windows-1252"), ("8859_1", "windows-1252")),
        *(("windows1252", "windows-1252"), ("cp-1252", "windows-1252"), ("x-windows-1252", "windows-1252")),
        *(("win-1251", "windows-1251"), ("x-ms-cp1251", "windows-1251"), ("windows-28595", "iso-8859-5")),
        *(("gb-2312", "gbk"), ("x-gb2312", "gbk"), ("cp936", "gbk"), ("ms936", "gbk"), ("EUC-CN", "gbk")),
        *(("windows-936", "gbk"), ("gb-18030", "gb18030"), ("windows-54936", "gb18030")),
        *(("cp950", "big5"), ("windows-950", "big5"), ("big5_hkscs", "big5"), ("x-big5", "big5")),
        *(("cp932", "shift_jis"), ("windows-932", "shift_jis"), ("shiftjis", "shift_jis")),
        *(
            ("eucjp", "euc-jp"),
            ("ujis", "euc-jp"),
            ("cp50220", "iso-2022-jp"),
            ("ISO-2022-JP-2", "iso-2022-jp"),
        ),
        *(("cp949", "euc-kr"), ("x-windows-949", "euc-kr"), ("uhc", "euc-kr"), ("euckr", "euc-kr")),
        *(("cp874", "windows-874"), ("tis620", "windows-874"), ("x-IBM874", "windows-874")),
        *(("koi8r", "koi8-r"), ("cp20866", "koi8-r"), ("cp866", "ibm866"), ("mac", "macintosh")),
        *(("utf-16-le", "utf-16le"), ("utf_16_be", "utf-16be")),
    ],
)
def test_labels_that_programs_write_and_the_standard_does_not_have(label: str, name: str) -> None:
    data, text = SAMPLES[name]
    assert in_a_word(label, data) == text


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        pytest.param("utf-7", b"+AGEAZA- b", "ad b", id="utf-7"),
        pytest.param("unicode-1-1-utf-7", b"+ADw-script+AD4-", "<script>", id="utf-7, text as any"),
        pytest.param("utf-7", b"1 + 1", "1 + 1", id="utf-7 of a program that knows no plus sign"),
        pytest.param("utf-7", b"caf\xe9", "café", id="utf-7 of 8 bits"),
        pytest.param("cp437", b"\x84\x9b", "ä¢", id="cp437"),
        pytest.param("ibm850", b"\x84\xb5", "äÁ", id="cp850"),
        pytest.param("hz", b"~{VPND", "中文", id="hz that does not return"),
        pytest.param("hz", b"~{ not Chinese", "~{ not Chinese", id="hz that is none"),
        pytest.param("utf-16", b"\xfe\xff\x4f\x60", "你", id="utf-16, big-endian by its mark"),
        pytest.param("utf-16", b"\xff\xfe\x60\x4f", "你", id="utf-16, little-endian by its mark"),
        pytest.param("unicode", b"Hello", "Hello", id="utf-16 that is ASCII"),
        pytest.param("utf-16le", b"\x00\xd8", "\ufffd", id="a lone surrogate"),
        pytest.param("utf-32", b"a\0\0\0", "a", id="utf-32"),
        pytest.param("gbk", b"\xef\xbb\xbf\xe4\xbd\xa0", "你", id="a byte order mark of UTF-8"),
        pytest.param("utf-8", b"\xef\xbb\xbfa", "a", id="a byte order mark is not text"),
        pytest.param("iso-2022-jp", b"\x1b$(D0!\x1b(B", "丂", id="JIS X 0212"),
        pytest.param("iso-2022-jp", b"\x1b$B~~\x1b(B", "\ufffd\ufffd", id="no character there"),
        pytest.param("iso-2022-jp", b"\x1b$BF| \x1b(B", "日\ufffd", id="a space among pairs"),
        pytest.param("iso-2022-jp", b"\x1b$(D0! \x1b(B", "丂\ufffd", id="a space in JIS X 0212"),
        pytest.param("euc-jp", b"\x8f\xa2\xb7", "～", id="a tilde of JIS X 0212"),
        pytest.param("shift_jis", b"\x93\xfa\xa0\x96\x7b", "日\ufffd本", id="no private character"),
        pytest.param("gb2312", b"\x81\x80 \x80", "亐 €", id="0x80 in a character, and alone"),
    ],
)
def test_bytes_of_a_charset(label: str, data: bytes, text: str) -> None:
    assert in_a_word(label, data) == text


# Number of characters and SHA-256 of them in the order of their codes, from the Standard's indexes as other
# implementations have them (the packages text-encoding and @exodus/bytes of npm).
@pytest.mark.parametrize(
    ("codec", "codes", "form", "number", "digest"),
    [
        ("big5", (range(0x81, 0xFF), range(0x40, 0xFF)), b"%b", 18_594, "e7920b36af3300c6"),
        ("gb18030", (range(0x81, 0xFF), range(0x40, 0xFF)), b"%b", 23_940, "85373408efe24c65"),
        ("cp949", (range(0x81, 0xFF), range(0x40, 0xFF)), b"%b", 17_048, "f49bf642f090c1ce"),
        ("euc-jp", (range(0xA1, 0xFF), range(0xA1, 0xFF)), b"%b", 7_336, "a217d8755e0832bc"),
        ("iso-2022-jp", (range(0x21, 0x7F), range(0x21, 0x7F)), b"\x1b$B%b", 7_336, "a217d8755e0832bc"),
    ],
)
def test_the_indexes_are_those_of_the_standard(
    codec: str, codes: tuple[range, range], form: bytes, number: int, digest: str
) -> None:
    texts = [decode(form % bytes(pair), codec) for pair in product(*codes)]
    known = [text for text in texts if "\ufffd" not in text]
    assert len(known) == number
    assert sha256("".join(known).encode()).hexdigest()[:16] == digest


@pytest.fixture
def looked_up() -> Iterator[list[str]]:
    """The names for which Python looks and does not know a codec: each stays in its memory."""
    names: list[str] = []
    codecs.register(names.append)  # returns None, for: not found here
    yield names
    codecs.unregister(names.append)


@pytest.mark.parametrize(
    "label",
    [
        "x-made-up-1",
        "utf-8-1",
        "cp99999",
        "windows-12520",
        "idna",
        "punycode",
        "hex",
        "zip",
        "rot13",
        "mbcs",
        "",
    ],
)
def test_a_name_that_is_not_known_is_not_looked_up(label: str, looked_up: list[str]) -> None:
    assert codec_of(label) == UNKNOWN
    assert in_a_word(label, "ä 41".encode()) == "ä 41"
    assert in_a_word(label, b"\xe4 \x80") == "ä €"
    assert looked_up == []


def test_each_codec_that_the_table_names_is_one_of_python() -> None:
    assert {decode(b"", codec) for codec in set(CODECS.values())} == {""}


# --- What a label does not explain ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(b"=?iso-8859-1?Q?Rechnung_=80_50?=", "Rechnung € 50", id="windows-1252 is meant"),
        pytest.param(b"=?us-ascii?Q?R=C3=A9sum=C3=A9?=", "Résumé", id="ASCII that is UTF-8"),
        pytest.param(b"=?ascii?Q?R=E9sum=E9?=", "Résumé", id="ASCII that is windows-1252"),
        pytest.param(b"=?x-unknown?Q?R=C3=A9sum=C3=A9?=", "Résumé", id="unknown, UTF-8"),
        pytest.param(b"=??Q?R=E9sum=E9?=", "Résumé", id="no label"),
        pytest.param(b"=?utf-8?Q?K=F6ln?=", "Köln", id="UTF-8 that is windows-1252"),
        pytest.param(b"=?utf-8?q?=FF?=", "ÿ", id="a byte that UTF-8 never has"),
        pytest.param(b"=?iso-8859-1?Q?=C3=81?=", "Á", id="0x81 is not in windows-1252, and this is UTF-8"),
        pytest.param(b"=?iso-8859-1?Q?=81_=80?=", "\ufffd €", id="0x81 is in no charset of the West"),
        pytest.param(b"=?iso-8859-2?Q?=A3=F3d=BC_=80?=", "Łódź €", id="where ISO 8859 has only controls"),
        pytest.param(b"=?iso-8859-15?Q?=80_=92?=", "€ ’", id="controls only"),
        pytest.param(b"=?utf-8?Q?It=C2=92s?=", "It’s", id="a control in UTF-8"),
        pytest.param(b"=?iso-8859-6?Q?=E5=D1=FF?=", "مر\ufffd", id="a byte that the charset does not have"),
        pytest.param(b"=?gbk?Q?R=C3=A9sum=C3=A9?=", "R茅sum茅", id="what a label explains is not doubted"),
        pytest.param(b"=?gbk?B?5L2g5aW95ZCX?=", "你好吗", id="one byte that it does not, and all is UTF-8"),
        pytest.param(b"=?euc-kr?Q?caf=E9?=", "café", id="half a Korean character"),
        pytest.param(b"=?utf-8?B?5L2g5aU=?=", "你\ufffd", id="cut within a character"),
        pytest.param(b"=?utf-8?B?5L2g5aW95Q==?= x", "你好\ufffd x", id="cut after its first byte"),
        pytest.param("你好".encode("gb18030"), "ÄãºÃ", id="raw Chinese"),
        pytest.param(b"caf\xe9", "café", id="raw windows-1252"),
        pytest.param(b"50 \x80", "50 €", id="raw windows-1252, the euro sign"),
        pytest.param("50 €".encode(), "50 €", id="raw UTF-8"),
        pytest.param("你好".encode()[:-1], "你\ufffd", id="raw UTF-8, cut"),
        pytest.param(b"\x1b$BF|K\\\x1b(B x", "日本 x", id="raw ISO-2022-JP"),
        pytest.param("ä".encode() * 9999, "ä" * 1000, id="a long field, cut within a character or not"),
        pytest.param(b"a" + "ä".encode() * 9999, "a" + "ä" * 999, id="a long field, cut at an odd byte"),
    ],
)
def test_nothing_is_dropped(value: bytes, text: str) -> None:
    assert decoded(value) == text


# --- Encoded words ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(b"=?utf-8?Q?What now? [ask]?=", "What now? [ask]", id="spaces and a question mark"),
        pytest.param(b"=?utf-8?Q?Why?_Who??=", "Why? Who?", id="a question mark at the end"),
        pytest.param(
            b"=?utf-8?Q?Ready?=E2=9C=94_or?=20not?=", "Ready?✔ or? not", id="before an encoded byte"
        ),
        pytest.param(b"=?utf-8?Q?a?=Be careful", "aBe careful", id="a text that looks like an encoded byte"),
        pytest.param(b"=?utf-8?Q?a?=BE =?utf-8?Q?b?=", "aBE b", id="the same before another word"),
        pytest.param(b"=?utf-8?Q??=", "", id="empty Q"),
        pytest.param(b"a =?utf-8?B??= b", "a  b", id="empty B"),
        pytest.param(b"=?utf-8?q?a_=c3=a4?=", "a ä", id="lower case"),
        pytest.param(b"=?utf-8?Q?2+2=3D4, x=5y, 100=?=", "2+2=4, x=5y, 100=", id="an equals sign as it is"),
        pytest.param(b"=?utf-8?Q?a=\rb?=", "a=\rb", id="no soft line break in a word"),
        pytest.param(b'=?utf-8?Q?<b@x.example>, "c"?=', '<b@x.example>, "c"', id="specials"),
        pytest.param(b"=?utf-8?b?w6Q=?=", "ä", id="B, lower case"),
        pytest.param(b"=?utf-8?B?w6R4?=", "äx", id="B without padding"),
        pytest.param(b"=?utf-8?B?w6Q?=", "ä", id="B, padding left out"),
        pytest.param(b"=?utf-8?B?w6Q===?=", "ä", id="B, padding too long"),
        pytest.param(b"=?utf-8?B?w6Q=w6Q=?=", "ää", id="B, padding in the middle"),
        pytest.param(b"=?utf-8?B? w6 R4 ?=", "äx", id="B with spaces"),
        pytest.param(b"=?utf-8?B?w6R4\r\n w6Q=?=", "äxä", id="B, folded"),
        pytest.param(b"=?utf-8?B?w6R4Y?=", "äx", id="B, a letter too many"),
        pytest.param(b"=?utf-8?B?not base64!?=", "=?utf-8?B?not base64!?=", id="B that is none"),
        pytest.param(b"=?utf-8*de-AT?Q?a?= =?utf-8*?B?Yg==?=", "ab", id="language (RFC 2231)"),
        pytest.param(b"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab", id="words that touch"),
        pytest.param(b"a=?utf-8?Q?b?=c", "abc", id="in the middle of a word"),
        pytest.param(b"=?utf-8?Q?a?=\t =?utf-8?Q?b?= c", "ab c", id="white space between words"),
        pytest.param(b"=?utf-8?Q?a?= =?utf-8?x?b?=", "a =?utf-8?x?b?=", id="white space before no word"),
        pytest.param(b"=?utf-8?Q?a =?utf-8?Q?b?=", "=?utf-8?Q?a b", id="one that is not closed"),
        pytest.param(b"=?utf-8?Q?a", "=?utf-8?Q?a", id="one that never is"),
        pytest.param(b"=?=?utf-8?Q?a?=", "=?a", id="a beginning before a word"),
        pytest.param(b"=?a b?Q?c?=", "=?a b?Q?c?=", id="no name of a charset"),
        pytest.param(b"=?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3F=3D?=", "=?utf-8?Q?a?=", id="decoded once"),
        pytest.param(b"=?iso-8859-1?Q?caf\xe9?=", "café", id="8 bits in a word"),
        pytest.param("=?utf-8?Q?café?=".encode(), "café", id="UTF-8 in a word"),
        pytest.param(b"=?koi8-r?Q?\xf0\xd2?= caf\xe9", "Пр café", id="8 bits in a word and beside it"),
        pytest.param(
            "=?utf-8?Q?a?= ü".encode() + b" =?utf-8?Q?b?= \xe9", "a ü b é", id="beside words, each its own"
        ),
    ],
)
def test_words_are_read_as_lenient_readers_do(value: bytes, text: str) -> None:
    assert decode_words(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(b"=?utf-8?q?P=C3?= =?utf-8?q?=A4ck?=", "Päck", id="UTF-8"),
        pytest.param(b"=?utf-8?B?8J+Y?=\r\n =?UTF8?Q?=80?=", "😀", id="three bytes and one, two spellings"),
        pytest.param(b"=?utf-8?q?=F0?= =?utf-8?q?=9F=98?= =?utf-8?q?=80?=", "😀", id="over three words"),
        pytest.param(b"=?gb2312?B?xOO6?= =?gbk?B?w7rD?=", "你好好", id="Chinese, two labels of one charset"),
        pytest.param(b"=?big5?B?rbu0?= =?big5?B?5A==?=", "香港", id="Big5"),
        pytest.param(b"=?shift_jis?Q?=93=FA=96?= =?shift_jis?Q?=7B?=", "日本", id="Shift_JIS"),
        pytest.param(b"=?euc-jp?Q?=C6=FC=CB?= =?euc-jp?Q?=DC?=", "日本", id="EUC-JP"),
        pytest.param(b"=?euc-kr?Q?=BE=C8=B3?= =?euc-kr?Q?=E7?=", "안녕", id="Korean"),
        pytest.param(b"=?utf-16le?Q?=60?= =?utf-16le?Q?=4F?=", "你", id="UTF-16"),
        pytest.param(b"=?iso-2022-jp?B?GyRCRnxL?= =?iso-2022-jp?B?XBsoQg==?=", "日本", id="ISO-2022-JP"),
        pytest.param(
            b"=?iso-2022-jp?B?GyRCRnw=?= =?iso-2022-jp?B?S1wbKEIh?=", "日本!", id="its mode goes on"
        ),
        pytest.param(
            b"=?iso-2022-jp?B?GyRCRnxLXA==?= =?iso-2022-jp?Q?Hello_$$?=", "日本Hello $$", id="or ends"
        ),
        pytest.param(
            b"=?iso-2022-jp?B?GyRCRnxL?= =?iso-2022-jp?Q?Hello?=", "日\ufffdHello", id="cut, and ends"
        ),
        pytest.param(
            b"=?iso-2022-jp?B?GyRCRnw=?= =?iso-2022-jp?B?GyRCS1wbKEI=?=", "日本", id="or begins again"
        ),
        pytest.param(b"=?utf-8?q?=C3?= =?iso-8859-1?q?=A4?=", "Ã¤", id="not over two charsets"),
        pytest.param(b"=?utf-8?q?=C3?= =?koi8-r?q?=A4?=", "Ã╓", id="each in its own"),
        pytest.param(b"=?utf-8?q?=C3?= x =?utf-8?q?=A4?=", "Ã x ¤", id="not over other text"),
        pytest.param(b"=?utf-8?q?=E4?= =?utf-8?q?=E4=BD=A0?=", "ä你", id="a word that spoils no other"),
        pytest.param(b"=?utf-8?q?=E4=BD=A0=FF?= =?utf-8?q?b?=", "你\ufffdb", id="nor at its end"),
        pytest.param(b"=?gbk?q?=C4=E3=FF?= =?gbk?q?=C4=E3?=", "你\ufffd你", id="nor in Chinese"),
    ],
)
def test_words_are_joined_only_where_a_character_was_split(value: bytes, text: str) -> None:
    assert decoded(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(b"=?gb2312?B?64rX07BsxrEgqEMg6Ua7+Q==?=", "電子發票 – 镕基", id="gb2312 beyond GB 2312"),
        pytest.param(b"=?x-gbk?B?xOO6ww==?=", "你好", id="simplified Chinese"),
        pytest.param(b"=?big5?B?+dY=?=", "碁", id="traditional Chinese, beyond Big5"),
        pytest.param(b"=?Big5?B?rbu05KFH?=", "香港：", id="traditional Chinese"),
        pytest.param(b"=?ISO-2022-JP?B?GyRCJCpDTiRpJDsbKEI=?=", "お知らせ", id="Japanese, ISO-2022-JP"),
        pytest.param(b"=?Shift_JIS?B?gqiSbYLngrk=?=", "お知らせ", id="Japanese, Shift_JIS"),
        pytest.param(b"=?EUC-JP?B?pKrDzqTppLs=?=", "お知らせ", id="Japanese, EUC-JP"),
        pytest.param(b"=?euc-kr?B?jGM=?=", "똠", id="Korean, beyond KS X 1001"),
        pytest.param(b"=?ks_c_5601-1987?B?vsiz58fPvLy/5A==?=", "안녕하세요", id="Korean"),
        pytest.param(b"=?TIS-620?B?ysfRyrTV?=", "สวัสดี", id="Thai"),
        pytest.param(b"=?iso-8859-8-i?B?+ezl7Q==?=", "שלום", id="Hebrew, logical"),
        pytest.param(b"=?iso-8859-8?B?7eXs+Q==?=", "םולש", id="Hebrew, visual: as it is written"),
        pytest.param(b"=?windows-1256?B?49HNyMc=?=", "مرحبا", id="Arabic"),
        pytest.param(b"=?koi8-r?B?8NLJ18XU?=", "Привет", id="Cyrillic, koi8-r"),
        pytest.param(b"=?windows-1251?B?z/Do4uXy?=", "Привет", id="Cyrillic, windows-1251"),
        pytest.param(b"=?iso-8859-5?B?v+DY0tXi?=", "Привет", id="Cyrillic, iso-8859-5"),
        pytest.param(b"=?iso-8859-7?B?yuHr5+zd8eE=?=", "Καλημέρα", id="Greek"),
        pytest.param(b"=?iso-8859-9?Q?=DDyi_g=FCnler_=80?=", "İyi günler €", id="Turkish, of windows-1254"),
        pytest.param(b"=?windows-1258?Q?Ti=EA=ECng_Vi=EA=F2t?=", "Tiếng Việt", id="Vietnamese, with marks"),
    ],
)
def test_subjects_as_a_report_shows_them(value: bytes, text: str) -> None:
    assert clean_text(decoded(value)) == text == unicodedata.normalize("NFC", text)


# --- Any bytes ---

PIECES = st.sampled_from(
    (
        *(
            b"=?",
            b"?=",
            b"=?utf-8?q?",
            b"=?utf-8?b?",
            b"=?gbk?q?",
            b"=?iso-2022-jp?q?",
            b"=?utf-7?q?+",
            b"?Q?",
        ),
        *(
            b"=?utf-16?b?",
            b"=?hz?q?~{",
            b"=?iso-2022-kr?q?=0E",
            b"=?euc-jp?q?=8F",
            b"=?big5?q?=F9",
            b"=?x*en?B?",
        ),
        *(
            b" ",
            b"\t",
            b"=E4",
            b"=BD=A0",
            b"=1B$B",
            b"=1B(B",
            b"5L2g5aU=",
            b"\xe4\xbd",
            b"\x1b$B",
            b"=D8",
            b"_",
        ),
    )
)
HOSTILE = st.lists(st.one_of(PIECES, st.binary(max_size=9)), max_size=40).map(b"".join)


@given(HOSTILE)
def test_any_bytes_are_a_text_that_a_row_holds(value: bytes) -> None:
    text = decoded(value)
    assert len(text) <= LONGEST_TEXT
    text.encode()  # no lone surrogate


@given(st.sampled_from(sorted(set(CODECS.values()))), st.binary(max_size=40))
def test_any_bytes_are_text_in_any_charset(codec: str, data: bytes) -> None:
    assert isinstance(decode(data, codec), str)
    in_a_word(codec, data).encode()


@given(st.text(st.characters(max_codepoint=126)).filter(lambda text: "=?" not in text and "\x1b" not in text))
def test_a_subject_of_ascii_is_itself(text: str) -> None:
    assert decoded(text.encode()) == text[:LONGEST_TEXT]


@given(st.text(max_size=40), st.sampled_from(["B", "Q"]), st.integers(1, 8))
def test_a_text_in_words_cut_anywhere_is_itself(text: str, encoding: str, size: int) -> None:
    data = text.encode()
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    words = [
        b64encode(piece) if encoding == "B" else "".join(f"={byte:02X}" for byte in piece).encode()
        for piece in pieces
    ]
    value = b" ".join(b"=?utf-8?%b?%b?=" % (encoding.encode(), word) for word in words)
    shown = text.removeprefix("\ufeff").translate(
        {code: bytes([code]).decode("cp1252", "replace") for code in range(128, 160)}
    )
    assert decoded(value) == storable(shown)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            b"=?",
            b"?=",
            b"=?a",
            b"=?a?q?",
            b"=?a?Q?b",
            b"=?a?b?",
            b"=?a?b?=",
            b"=?utf-8?q?=E4?= ",
            b"=?a?q?b?=AA",
        ),
        *(
            b"=?utf-8?b?8J+Y?= ",
            b"=?iso-2022-jp?q?=1B$B?= ",
            b"=?big5?q?=F9=D6?=",
            b"\x80",
            b"\x1b$B",
            b"=?*?q?",
        ),
    ],
)
def test_the_work_grows_as_the_field_does(piece: bytes) -> None:
    def seconds(length: int) -> float:
        value = (piece * length)[:length]
        return min(repeat(lambda: decode_words(value), number=1, repeat=3))

    # 4096 if it were quadratic
    assert seconds(16_000) / seconds(250) < 64 * 10
