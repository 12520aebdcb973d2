"""Threads of which only one goes on at a time: at each AWS call, the seed draws which one it is.

So a seed fixes the order of all calls, as it could not with threads that the machine schedules.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from random import Random


class Turns:
    """Whose turn it is. The thread that makes it goes first."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._waiting: list[threading.Semaphore] = []

    def switch(self) -> None:
        """Let any thread go on, which may be this one."""
        if self._waiting:
            mine = self._wait()
            self._next()
            mine.acquire()

    def begin(self, do: Callable[[], object]) -> None:
        """Start a thread, whose turn will come."""
        mine = self._wait()

        def run() -> None:
            mine.acquire()
            try:
                do()
            finally:
                self._next()

        threading.Thread(target=run, daemon=True).start()

    def _wait(self) -> threading.Semaphore:
        mine = threading.Semaphore(0)
        self._waiting.append(mine)
        return mine

    def _next(self) -> None:
        self._waiting.pop(self._rng.randrange(len(self._waiting))).release()


class Executor:
    """The part of a ThreadPoolExecutor that is used, with as many threads as calls."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def submit[**P, A](self, do: Callable[P, A], *arguments: P.args, **named: P.kwargs) -> Future[A]:
        future, context = _Future[A](self._turns), copy_context()  # whose calls they are

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(context.run(do, *arguments, **named))
                except BaseException as e:  # noqa: BLE001 - as a thread of the pool
                    future.set_exception(e)

        self._turns.begin(run)
        return future


class _Future[A](Future[A]):
    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def result(self, timeout: float | None = None) -> A:
        while not self.done():
            self._turns.switch()
        return super().result(timeout)


class Lock:
    """A lock whose holder may lose its turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._is_held = turns, False

    def __enter__(self) -> None:
        while self._is_held:
            self._turns.switch()
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False
