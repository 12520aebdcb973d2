"""What the Subject of a request says, in one of a few whole forms; every other Subject is somebody's own."""

import re
from typing import Final

from quarantine.asking.event import InboundMail
from quarantine.mail.addresses import Address, InvalidAddress

_LONGEST: Final = 512  # characters
_PREFIX = re.compile(r"\s*(?:\[[^\]]*\]|(?:re|fwd?)\s*:)", re.IGNORECASE)
_FOR = re.compile(r"\s*for\s+(\S+)\s*", re.IGNORECASE)


def mailbox_named(mail: InboundMail) -> Address | None:
    """Return the mailbox in a Subject that reads `for bob@example.com`, whole; None for any other.

    Before it may stand any number of `[...]`, `Re:` and `Fwd:`.
    """
    subjects = mail.values("Subject")
    if len(subjects) != 1 or len(subjects[0]) > _LONGEST:
        return None
    text, place = subjects[0], 0
    while (prefix := _PREFIX.match(text, place)) is not None:
        place = prefix.end()
    found = _FOR.fullmatch(text, place)
    try:
        return None if found is None else Address.parse(found[1])
    except InvalidAddress:
        return None
