"""The wire, as botocore's events show it: records requests and answers, and replays the answers."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from typing import Any

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was sent, and its answer.

    service, operation: AWS's names, such as `sqs` and `SendMessage`.
    parameters: as they were passed to the client.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    status: int
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.service} {self.operation}"


def new_session() -> boto3.Session:
    return boto3.Session(
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106 - not a real credential
        aws_session_token="bench",  # noqa: S106
        region_name=REGION,
    )


class Recorder:
    """Records each request that the session's clients send, including retries. Make it before any client."""

    def __init__(self, session: boto3.Session) -> None:
        self.calls: list[Call] = []
        self._parameters: Mapping[str, Any] = {}
        self._sent: list[str] = []
        # First: before one of botocore's own handlers changes the parameters.
        session.events.register_first("before-parameter-build", self._asked)
        session.events.register_first("before-send", self._on_the_wire)
        session.events.register("before-parse", self._answered)

    def take(self) -> tuple[Call, ...]:
        """Return the calls that were recorded since the last time."""
        if len(self._sent) != len(self.calls):
            raise RuntimeError(f"sent: {self._sent}; answered: {[str(call) for call in self.calls]}")
        calls = tuple(self.calls)
        self.calls.clear()
        self._sent.clear()
        return calls

    def _asked(self, params: Mapping[str, Any], **_: object) -> None:
        self._parameters = deepcopy(params)

    def _on_the_wire(self, event_name: str, **_: object) -> None:
        self._sent.append(event_name)

    def _answered(self, event_name: str, response_dict: Mapping[str, Any], **_: object) -> None:
        service, operation = event_name.split(".")[1:]
        body = response_dict["body"]
        self.calls.append(
            Call(
                service,
                operation,
                self._parameters,
                response_dict["status_code"],
                dict(response_dict["headers"]),
                body if isinstance(body, bytes) else b"",
            )
        )


class Canned:
    """Answers the session's clients with the recorded answers, in their order, repeatedly."""

    def __init__(self, session: boto3.Session) -> None:
        self._calls: Iterator[Call] = iter(())
        session.events.register_first("before-send", self._answer)  # type: ignore[arg-type]  # it may answer

    def play(self, calls: Sequence[Call]) -> None:
        """From now on, answer with these."""
        self._calls = cycle(calls)

    def _answer(self, event_name: str, request: Any, **_: object) -> AWSResponse:
        call = next(self._calls)
        if event_name != f"before-send.{call.service}.{call.operation}":
            raise RuntimeError(f"{event_name}, where {call} was recorded")
        return AWSResponse(request.url, call.status, call.headers, Raw(call.body))  # type: ignore[arg-type]


class Raw(BytesIO):
    """The body of an answer, in the form that urllib3 uses."""

    def stream(self, **_: object) -> Any:
        while data := self.read():
            yield data


class Bare:
    """Makes the recorded calls with boto3 alone: the least that the same work can cost."""

    def __init__(self, session: boto3.Session, calls: Sequence[Call]) -> None:
        clients: dict[str, Any] = {
            service: session.client(service)  # type: ignore[call-overload]  # the name is not a literal
            for service in {call.service for call in calls}
        }
        self._calls = [
            (getattr(clients[call.service], xform_name(call.operation)), call.parameters) for call in calls
        ]

    def __call__(self) -> None:
        for method, parameters in self._calls:
            method(**parameters)
