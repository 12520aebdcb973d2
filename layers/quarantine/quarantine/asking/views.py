"""Which of the held messages a report lists: all, or only what a requester wants to see of them."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile
from typing import Final, Self

from quarantine.held import HeldMessage
from quarantine.mail.text import clean_text

MOST_WORDS: Final = 10
"""How many words `find` looks for; what comes after them is ignored."""

_SECOND = timedelta(seconds=1)
_CURSOR = re.compile(r"([0-9]{1,11})-([0-9]{1,6})")  # seconds up to the year 5138


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: at the messages of this second and those before it, newest first.

    skip: how many of that second were listed already.
    """

    second: datetime
    skip: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the output of `str`, such as `1795426200-1`. Raises ValueError."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise ValueError(f"not a place in a list: {text!r:.80}")
        return cls(datetime.fromtimestamp(int(found[1]), UTC), int(found[2]))

    def __str__(self) -> str:
        return f"{int(self.second.timestamp())}-{self.skip}"

    @property
    def end(self) -> datetime:
        """All messages that are listed from here were received before this time."""
        return self.second + _SECOND

    def rest(self, messages: Iterable[HeldMessage]) -> Iterator[HeldMessage]:
        """Yield those of some messages, newest first, that come from here on."""
        left = self.skip

        def is_listed(message: HeldMessage) -> bool:
            nonlocal left
            if message.received_at >= self.end:
                return True
            left -= 1
            return left >= 0 and message.received_at >= self.second

        return dropwhile(is_listed, messages)

    @classmethod
    def after(cls, listed: Iterable[HeldMessage], before: "Cursor | None") -> "Cursor | None":
        """Return where a list goes on after these messages, newest first; None if there are none.

        before: where they began.
        """
        times = [message.received_at.replace(microsecond=0) for message in listed]
        if not times:
            return None
        skip = times.count(times[-1])
        if before is not None and before.second == times[-1]:
            skip += before.skip
        return cls(times[-1], skip)


@dataclass(frozen=True, slots=True)
class View:
    """What a report lists. find: words in the sender or the subject. days: the last days only."""

    older: Cursor | None = None
    find: tuple[str, ...] = ()
    days: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it lists what is held, from the newest on, without a choice."""
        return self == View()

    def shows(self, message: HeldMessage) -> bool:
        """Return whether a message has all of the words, ignoring case and accents."""
        if not self.find:
            return True
        text = folded(f"{clean_text(message.sender)}\n{clean_text(message.subject)}")
        return all(word in text for word in map(folded, self.find))

    def begins(self, now: datetime) -> datetime | None:
        """Return since when a message must have been received; None for no limit."""
        return None if self.days is None else now - timedelta(days=self.days)


def words_of(text: str) -> tuple[str, ...]:
    """Return the words to look for in what a person wrote; none of them is invisible."""
    return tuple(word for word in clean_text(text).split(" ") if folded(word))[:MOST_WORDS]


@lru_cache(maxsize=256)
def folded(text: str) -> str:
    """Return a text without case and accents, to compare it."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()
