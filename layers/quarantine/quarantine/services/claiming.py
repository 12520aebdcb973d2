"""What report and act do alike with a job: they claim its request before they serve it."""

from collections.abc import Callable
from typing import assert_never

from quarantine.jobs import MalformedJob
from quarantine.runtime import Journal
from quarantine.stores.requests import (
    Busy,
    Claim,
    Claimed,
    Requests,
    Settled,
    UnknownRequest,
    UnreadableRequest,
    Waiting,
)

HOPELESS = (MalformedJob, UnknownRequest, UnreadableRequest)
"""Errors of a job that fails each time; SQS moves the job to the dead-letter queue."""


class InHand(RuntimeError):
    """Another process serves the request; the job must be retried, in case that process dies."""


def claimed(
    request_id: str, claim: Callable[[], Claim], requests: Requests, journal: Journal
) -> Claimed | Waiting | None:
    """Claim a request; None if it is settled already, Waiting if it waits for an agent.

    Raises the errors in HOPELESS, and InHand.
    """
    try:
        found = claim()
    except UnreadableRequest as e:
        requests.give_back(request_id, reason=type(e).__name__)
        raise
    match found:
        case Claimed() | Waiting():
            return found
        case Busy():
            raise InHand(request_id)
        case Settled():
            journal.note("delivered again", message_id=request_id)
            return None
        case _:
            assert_never(found)
