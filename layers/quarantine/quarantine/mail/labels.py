"""The names of charsets (labels) that mail uses, and the codec of Python's that reads each.

The labels are those of the WHATWG Encoding Standard (https://encoding.spec.whatwg.org/#names-and-labels) and
those that mail programs write beside them. A label means the superset that senders really mean, as in the
Standard: gb2312 is read as gb18030, iso-8859-1 as windows-1252. Where we differ from it, a comment says why.

A frozen table, and not `codecs.lookup`, because Python keeps every name that was ever looked up, even if
it does not exist: made-up names would fill the memory.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

UNKNOWN: Final = "utf-8"
"""The codec for a label that says nothing: what is not UTF-8 is then read as windows-1252."""

_LABELS = {
    "utf-8": """
        unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8
        cp65001 utf8mb4
        ansi_x3.4-1968 ascii us-ascii iso-ir-6 iso646-us cp367 ibm367 cp20127
        """,  # ASCII too, which the Standard reads as windows-1252: programs write UTF-8 under its name
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": """
        csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2 cp28592
        """,
    "iso8859-3": """
        csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3 cp28593
        """,
    "iso8859-4": """
        csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4 cp28594
        """,
    "iso8859-5": """
        csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
        cp28595
        """,
    "iso8859-6": """
        arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e iso-8859-6-i
        iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987 cp28596
        """,
    "iso8859-7": """
        csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7
        iso_8859-7:1987 sun_eu_greek cp28597
        """,
    # Logical and visual order alike, and nothing is reordered: the label for visual Hebrew is written on more
    # logical text than visual.
    "iso8859-8": """
        csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8
        iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical cp28598 cp38598
        """,
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913 latin7 l7 cp28603",
    "iso8859-14": "iso-8859-14 iso8859-14 iso885914 latin8 l8",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9 latin9 latin0 cp28605",
    "iso8859-16": "iso-8859-16 latin10 l10",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r cp20866 cp878",
    "koi8-u": "koi8-ru koi8-u cp21866",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman cp10000",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874 cp874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "cp1252": """
        cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1
        latin1 windows-1252 x-cp1252 8859-1 iso-latin-1 ansi cp28591
        """,
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": """
        cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5
        windows-1254 x-cp1254 cp28599
        """,
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian cp10007 cp10017",
    "gb18030": """
        chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030
        euc-cn gb2312-80 gb18030-2000 cp936 ms936 cp20936 cp51936 cp54936
        """,
    "big5": "big5 big5-hkscs cn-big5 csbig5 x-x-big5 big5-eten hkscs cp950 ms950",
    "euc-jp": "cseucpkdfmtjapanese euc-jp x-euc-jp ujis cp20932 cp51932",
    "iso-2022-jp": """
        csiso2022jp iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-ext iso-2022-jp-ms jis
        cp50220 cp50221 cp50222
        """,
    "cp932": """
        csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis cp932 cp943 cswindows31j
        """,
    "cp949": """
        cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601
        windows-949 cp949 ms949 uhc ks_c_5601 ks_x_1001 cp51949
        """,
    "utf-16-be": "unicodefffe utf-16be cp1201",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le cp1200",
    # The Standard replaces these two by a single U+FFFD, because a browser that reads ASCII bytes as other
    # text can be made to run a script. Here every text is hostile after it was decoded, so they are read.
    # Python has no codec of iso-2022-cn, and nobody one of "replacement": they are unknown.
    "hz": "hz-gb-2312 hz-gb hz cp52936",
    "iso2022-kr": "csiso2022kr iso-2022-kr cp50225",
    # x-user-defined is unknown as well: the Standard reads it as private characters, which show nothing.
    #
    # Not in the Standard, but in mail. UTF-7 is as harmless as any: nothing is looked for in its bytes.
    "utf-7": "utf-7 unicode-1-1-utf-7 unicode-2-0-utf-7 csunicode11utf7 csutf7 cp65000",
    "utf-32-be": "utf-32be",
    "utf-32-le": "utf-32 utf-32le ucs-4 iso-10646-ucs-4",
    **{
        f"cp{page}": f"cp{page}"
        for page in (437, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 869)
    },
    "cp1125": "cp1125 cp866u",
    "johab": "johab cp1361",
    "koi8-t": "koi8-t",
    "kz1048": "kz-1048 rk1048",
    "ptcp154": "ptcp154 cp154 pt154",
    "hp-roman8": "hp-roman8 roman8",
    "mac-greek": "x-mac-greek cp10006",
    "mac-latin2": "x-mac-ce x-mac-centraleurroman cp10029",
    "mac-turkish": "x-mac-turkish cp10081",
    "mac-iceland": "x-mac-icelandic cp10079",
}
_CODE_PAGE = re.compile(r"x?(?:windows|win|ibm|ms|cp|dos|oem)(?:cp)?([0-9]+)")
_SEPARATORS = str.maketrans("", "", "-_.:'\"")


def _squeezed(label: str) -> str:
    """Return a label as it is looked up: programs differ in letter case, hyphens, underscores and quotes."""
    return label.lower().translate(_SEPARATORS)


CODECS: Final[Mapping[str, str]] = MappingProxyType(
    {_squeezed(label): codec for codec, labels in _LABELS.items() for label in labels.split()}
)
"""The codec for each known label, in lower case and without separators."""


def codec_of(label: str) -> str:
    """Return the codec for a label; UNKNOWN for one that we do not know, of which nothing is kept."""
    label = _squeezed(label)
    if (codec := CODECS.get(label)) is not None:
        return codec
    if (page := _CODE_PAGE.fullmatch(label)) is not None:
        return CODECS.get(f"cp{page[1]}", UNKNOWN)
    return CODECS.get(label.removeprefix("x"), UNKNOWN)
