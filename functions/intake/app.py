"""Intake: SES invokes this function for each mail that it receives."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import boto3

from quarantine.asking.event import MalformedEvent
from quarantine.runtime import TWO_ATTEMPTS, Handler, at_start, utc_now
from quarantine.services.intake import Intake
from quarantine.settings import IntakeSettings


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Return the Lambda handler, with its clients. Raises BadSetting."""
    settings = IntakeSettings.from_environ(environ)
    client = partial((session or boto3.Session()).client, config=TWO_ATTEMPTS)
    intake = Intake.on(settings, client("dynamodb"), partial(client, "s3"), client("sqs"), clock)

    def handler(event: object, context: object) -> dict[str, str]:
        try:
            return {"outcome": intake.handle(event)}
        except MalformedEvent as e:  # Lambda retries, then sends the event to the on-failure destination
            intake.journal.reject("not an SES event", e)
            raise

    return handler


__getattr__ = at_start(globals(), make_handler)
