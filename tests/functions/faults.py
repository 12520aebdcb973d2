"""Faults at the wire of botocore: a process that dies, an error in an answer, a count of the calls."""

from typing import Any

from tests.world import new_session

type Call = tuple[str, str]  # service, operation


class ProcessDied(BaseException):
    """The process is dead: no handler of an Exception may catch this."""


class Wire:
    """A session for one process, whose calls are counted and can be made to fail."""

    def __init__(self) -> None:
        self.session = new_session()
        self.calls: list[Call] = []
        self._die_before: int | None = None
        self._die_after: int | None = None
        self._errors: dict[Call, Exception] = {}
        self.session.events.register_first("before-call.*.*", self._before)
        self.session.events.register_last("after-call.*.*", self._after)

    def die_before(self, place: int) -> None:
        """Die instead of making the call with this index, counted from 0."""
        self._die_before = place

    def die_after(self, place: int) -> None:
        """Die when the call with this index has taken effect, before its answer is seen."""
        self._die_after = place

    def fail(self, service: str, operation: str, error: Exception) -> None:
        """Raise an error instead of each such call."""
        self._errors[service, operation] = error

    def _before(self, model: Any, **_: object) -> None:
        call = (str(model.service_model.service_name), str(model.name))
        if len(self.calls) == self._die_before:
            raise ProcessDied(call)
        self.calls.append(call)
        if call in self._errors:
            raise self._errors[call]

    def _after(self, **_: object) -> None:
        if len(self.calls) - 1 == self._die_after:
            raise ProcessDied(self.calls[-1])
