"""Calls at once, in threads that all callers of a process share."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


class Threads:
    """Makes calls at once. A call may itself make calls here, with the same threads.

    A caller makes its first call itself, and then each one that no thread has begun. So nobody waits for a
    thread to be free, and calls within calls cannot wait for each other.
    number: of the threads, beside the callers; a thread is started only when all others are busy.
    """

    def __init__(self, number: int) -> None:
        self._pool = ThreadPoolExecutor(number)

    def map[A, B](self, do: Callable[[A], B], values: Iterable[A]) -> list[B]:
        """Return the results in the order of the values. All calls have ended when an error is raised."""
        given = list(values)
        begun = [self._pool.submit(do, value) for value in given[1:]]
        results, errors = [], []
        for value, future in zip(given, (None, *begun), strict=False):  # there may be no value at all
            try:
                results.append(do(value) if future is None or future.cancel() else future.result())
            except Exception as e:  # noqa: BLE001 - raised when all calls have ended
                errors.append(e)
        if errors:
            raise errors[0]
        return results
