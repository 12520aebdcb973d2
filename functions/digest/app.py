"""Digest: EventBridge Scheduler invokes this function every five minutes."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import boto3

from quarantine.runtime import TWO_ATTEMPTS, Handler, at_start, utc_now
from quarantine.services.digesting import Digesting
from quarantine.settings import DigestSettings


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Return the Lambda handler, with its clients. Raises BadSetting."""
    settings = DigestSettings.from_environ(environ)
    client = partial((session or boto3.Session()).client, config=TWO_ATTEMPTS)
    digesting = Digesting.on(settings, client("dynamodb"), client("sqs"), clock)

    def handler(event: object, context: Any) -> dict[str, int]:
        def time_left() -> timedelta:
            return timedelta(milliseconds=context.get_remaining_time_in_millis())

        tick = digesting.tick(time_left if context is not None else None)
        return {"due": tick.due, "made": tick.made}

    return handler


__getattr__ = at_start(globals(), make_handler)
