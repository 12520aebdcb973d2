"""What the Subject of a request says, in one of a few whole forms; every other Subject is somebody's own.

`find WORDS`, `last 7 days` and `for bob@example.com`, after any number of `[...]`, `Re:` and `Fwd:`.
"""

import re
from dataclasses import dataclass
from typing import Final

from quarantine.asking.event import InboundMail
from quarantine.asking.views import words_of
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.charsets import decoded

_LONGEST: Final = 512  # characters
_PREFIX = re.compile(r"\s*(?:\[[^\]]*\]|(?:re|fwd?)\s*:)", re.IGNORECASE)
_FOR = re.compile(r"\s*for\s+(\S+)\s*", re.IGNORECASE)
_LAST = re.compile(r"\s*last\s+([1-9][0-9]{0,3})\s+days?\s*", re.IGNORECASE)
_FIND = re.compile(r"\s*find\s+(\S.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """What a request for a report says about it. of: the one mailbox. find: words. days: the last ones."""

    of: Address | None = None
    find: tuple[str, ...] = ()
    days: int | None = None


def read_options(mail: InboundMail) -> Options:
    """Return what the Subject of a mail asks for; nothing if it has none of our forms."""
    subjects = mail.values("Subject")
    if len(subjects) != 1 or len(subjects[0]) > _LONGEST:
        return Options()
    text, place = decoded(subjects[0].encode(errors="replace")), 0  # RFC 2047
    while (prefix := _PREFIX.match(text, place)) is not None:
        place = prefix.end()
    if (found := _FOR.fullmatch(text, place)) is not None:
        return Options(of=_mailbox(found[1]))
    if (found := _LAST.fullmatch(text, place)) is not None:
        return Options(days=int(found[1]))
    if (found := _FIND.fullmatch(text, place)) is not None:
        return Options(find=words_of(found[1]))
    return Options()


def _mailbox(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except InvalidAddress:
        return None
