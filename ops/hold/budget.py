"""How many bytes of mail the front has in memory at once."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Bytes that large mails share. Who asks for more than is left waits, and is served in order."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Take bytes as soon as there are so many. size: at most the total, else nobody is ever served."""
        if not self._waiting and size <= self._left:
            self._left -= size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)  # it was served, and is gone
            else:
                self._waiting = deque(each for each in self._waiting if each[1] is not turn)
                self._serve()  # a smaller one behind it may fit now
            raise

    def give(self, size: int) -> None:
        """Give bytes back."""
        self._left += size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._left):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._left -= size
                turn.set_result(None)


class Share:
    """What one mail takes of a budget: nothing while it is small, then the size of the largest mail at once.

    A mail says its size only at its end. If each took its bytes as they come, several could wait for each
    other for ever, each with a part.
    """

    def __init__(self, budget: Budget, small: int, largest: int) -> None:
        self._budget, self._small, self._largest = budget, small, largest
        self._taken = 0

    async def grow(self, size: int) -> None:
        """Wait until a mail may have this size."""
        if size > self._small and not self._taken:
            await self._budget.take(self._largest)
            self._taken = self._largest

    def end(self) -> None:
        if self._taken:
            self._budget.give(self._taken)
            self._taken = 0


@contextmanager
def share_of(budget: Budget, small: int, largest: int) -> Iterator[Share]:
    share = Share(budget, small, largest)
    try:
        yield share
    finally:
        share.end()
