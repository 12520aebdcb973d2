"""A job: what one function asks another to do. A job is a pointer; all else is in the request's row.

So whoever can write to a queue can name a request that was accepted, and nothing more.

`Job` is a closed union, and its JSON names the kind: `{"version": 2, "kind": "report", "request_id": "..."}`.
"""

import json
from dataclasses import dataclass
from typing import ClassVar, Final

_VERSION: Final = 2
_BEFORE: Final = 1  # it had no kind, and carried what the row has now: none of that is read


class MalformedJob(ValueError):
    """The text is not a job; the message says where."""


@dataclass(frozen=True, slots=True)
class ReportJob:
    """Send the report that a request was accepted for."""

    request_id: str
    kind: ClassVar = "report"


type Job = ReportJob


def to_json(job: Job) -> str:
    return json.dumps({"version": _VERSION, "kind": job.kind, "request_id": job.request_id})


def from_json(text: str) -> Job:
    """Read what `to_json` wrote, now or a version before. Raises MalformedJob for anything else."""
    try:
        job = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise MalformedJob(f"not JSON: {e}") from e
    match job:
        case {"version": version, "kind": ReportJob.kind, "request_id": str(request_id)} if (
            version == _VERSION
        ):
            return ReportJob(request_id)
        case {"version": version, "request_id": str(request_id)} if version == _BEFORE:
            return ReportJob(request_id)
        case {"version": version, "kind": kind, "request_id": str()}:
            raise MalformedJob(f"version {version!r:.80}, kind {kind!r:.80}")
        case _:
            raise MalformedJob(f"not a job: {text[:200]!a}")
