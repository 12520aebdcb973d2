"""Feedback: SQS delivers SES's events about the mails that we sent."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import boto3

from quarantine.runtime import (
    ONE_ATTEMPT,
    TWO_ATTEMPTS,
    BatchResponse,
    Handler,
    at_start,
    serve_batch,
    utc_now,
)
from quarantine.services.feedback import HOPELESS, Feedback, Tell
from quarantine.services.telling import telling
from quarantine.settings import FeedbackSettings


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = utc_now,
    tell: Tell | None = None,
) -> Handler:
    """Return the Lambda handler, with its clients. Raises BadSetting. tell: by default, tells by mail."""
    settings = FeedbackSettings.from_environ(environ)
    session = session or boto3.Session()
    dynamodb = session.client("dynamodb", config=TWO_ATTEMPTS)
    sesv2 = session.client("sesv2", config=ONE_ATTEMPT)
    if tell is None:
        tell = telling(settings, dynamodb, sesv2, clock)
    feedback = Feedback.on(settings, dynamodb, tell, clock)

    def handler(event: dict[str, Any], context: object) -> BatchResponse:
        return serve_batch(event, feedback.handle, feedback.journal, settings.attempts, HOPELESS)

    return handler


__getattr__ = at_start(globals(), make_handler)
