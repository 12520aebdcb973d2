"""A job: what one function asks another to do. A job is a pointer; everything else is in the request's row.

So anyone who can write to a queue can only name a request that was accepted.

`Job` is a closed union, and its JSON names the kind: `{"version": 2, "kind": "report", "request_id": "..."}`.
"""

import json
from dataclasses import dataclass
from typing import ClassVar, Final

_VERSION: Final = 2
_BEFORE: Final = 1  # it had no kind, and carried the data that is now in the row; that data is ignored


class MalformedJob(ValueError):
    """The text is not a job; the message says why."""


@dataclass(frozen=True, slots=True)
class ReportJob:
    """Send the report for an accepted request."""

    request_id: str
    kind: ClassVar = "report"


@dataclass(frozen=True, slots=True)
class ActionJob:
    """Do what an accepted request asks for with one held message, and answer it."""

    request_id: str
    kind: ClassVar = "action"


@dataclass(frozen=True, slots=True)
class BounceJob:
    """Hold a released message again, because the delivery report with this request's id says it failed."""

    request_id: str
    kind: ClassVar = "bounce"


type Job = ReportJob | ActionJob | BounceJob


def to_json(job: Job) -> str:
    return json.dumps({"version": _VERSION, "kind": job.kind, "request_id": job.request_id})


def from_json(text: str) -> Job:
    """Read the output of `to_json`, of this version or the one before. Raises MalformedJob."""
    try:
        job = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise MalformedJob(f"not JSON: {e}") from e
    match job:
        case {"version": version, "kind": ReportJob.kind, "request_id": str(request_id)} if (
            version == _VERSION
        ):
            return ReportJob(request_id)
        case {"version": version, "kind": ActionJob.kind, "request_id": str(request_id)} if (
            version == _VERSION
        ):
            return ActionJob(request_id)
        case {"version": version, "kind": BounceJob.kind, "request_id": str(request_id)} if (
            version == _VERSION
        ):
            return BounceJob(request_id)
        case {"version": version, "request_id": str(request_id)} if version == _BEFORE:
            return ReportJob(request_id)
        case {"version": version, "kind": kind, "request_id": str()}:
            raise MalformedJob(f"version {version!r:.80}, kind {kind!r:.80}")
        case _:
            raise MalformedJob(f"not a job: {text[:200]!a}")
