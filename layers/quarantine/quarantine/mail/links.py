"""Prevents that a program shows held text as a link, a signature, an armour or a separator."""

import re

# A letter or digit of a script with spaces between words. In the others, a full-width stop ends a sentence.
_SPACED = r"[^\W\u3040-\u9fff\uac00-\ud7af]"
_GAP = r"[ ()./~\u2010-\u2015\u2212（）／．－-]"  # between the digits of a phone number

# The places that are broken. Each branch looks back at its first character, so that the regular expression
# searches only for those characters; this is ten times as fast as trying each branch at each place.
_JOINT = re.compile(
    rf"""
    [\d@＠﹫./\\:\#＃﹟。．｡․﹒_-]
    (?: (?P<kept> (?<=\d) (?:
          (?<![\w:.].) \d? : \d\d (?: : \d\d )? (?! :|\d )  # a time
        | (?<![\d+(./:].) (?<!\d-.)  # a date, or a number with a year
          (?: \d? [./-] [0-3]?\d [./-] (?:19|20)\d\d
            | (?: (?<=1)9 | (?<=2)0 ) \d\d (?: [./-] [01]?\d [./-] [0-3]?\d | [/-] \d{{1,5}} ) )
          (?! [./-]?\d|[:/] )
        | (?<![\w.:/].) (?! (?: \.?\d ){{6}} ) \d* (?: \.\d+ ){{1,2}} (?! \.?\d|[:/] )  # a sum, or a version
        ) )
      | (?P<phone> (?<=\d) (?: {_GAP}{{0,3}} \d ){{6,}} )
      | (?P<at> (?<=@) | (?<=＠) | (?<=﹫) )
      | (?<=[^\s.]\.) \.*+ (?=\S) (?! [A-Za-z] (?: \.[A-Za-z] ){{0,4}} \.? (?: [\s,:;!?)] | \Z ) )  # "z.B."
      | (?: (?<=[Ww]{{3}}\.) | (?<=[Ff][Tt][Pp]\.) ) \.*+
      | (?<=[^\x00-\x7f\d]) (?: (?<=\S.) (?={_SPACED}) | (?<={_SPACED}.) (?=\w) )  # another stop
      | (?: (?<=:) [/\\]{{2,}}+ | (?<=[/\\]) [/\\]++ ) (?!\s)
      | (?<=[\w+.:\[-]:) (?<![^\x00-\x7f]:) (?: :++ | (?!\s) )  # after what may be a scheme, or in IPv6
      | (?<=[\#＃﹟]) (?=\w)
      | (?<=-) -{{3,}} | (?<=_) _{{3,}} | (?<=-) (?<!.-) -+ \Z  # PGP, Outlook, a signature
    )""",
    re.VERBOSE,
)
_PHONE_JOINT = re.compile(r"(?<=[)）])(?=[\d(（])|(?<=\d)(?=[(（])|[^\d()（）]+|(\d{4})(?=\d{3})")
_LOCALHOST = re.compile("(?<=local)host", re.IGNORECASE)
_QUOTED = re.compile('["<].*')


def defanged(text: str) -> str:
    """Break everything in a cleaned text that a program could show as a link, a signature or an armour.

    The breaks are visible, in the way that is usual in security reports: `https[://]evil[.]example`,
    `eve[at]evil[.]example`, `030_1234_567`. So plain text and HTML show the same, a program that removes
    markup does not undo the breaks, and the text may be cut anywhere afterwards.
    """
    text = _JOINT.sub(_bracketed, text)
    if "localhost" in text.lower():  # linkers link this word alone
        text = _LOCALHOST.sub("[host]", text)
    if '"' in text or "<" in text:
        # Thunderbird links the text between quotation marks or angle brackets without its spaces: "tel: 1".
        text = _QUOTED.sub(lambda rest: rest[0].replace(": ", "[:] "), text)
    return text


def _bracketed(joint: re.Match[str]) -> str:
    match joint.lastgroup:
        case "kept":
            return joint[0]
        case "phone":
            return _PHONE_JOINT.sub(r"\1_", joint[0])
        case "at":
            # Without an @: Thunderbird links any text with one between quotation marks or angle brackets.
            return "[at]"
        case _:
            return f"[{joint[0]}]"
