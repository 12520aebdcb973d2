"""Act: SQS delivers the jobs of accepted actions on held mail, and the results of agents."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import boto3

from quarantine.runtime import (
    ONE_LONG_ATTEMPT,
    TWO_ATTEMPTS,
    BatchResponse,
    Handler,
    at_start,
    serve_batch,
    utc_now,
)
from quarantine.services.acting import HOPELESS, Acting, Clients
from quarantine.settings import ActSettings


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Return the Lambda handler, with its clients. Raises BadSetting."""
    settings = ActSettings.from_environ(environ)
    session = session or boto3.Session()
    client = partial(session.client, config=TWO_ATTEMPTS)
    sesv2 = session.client("sesv2", config=ONE_LONG_ATTEMPT)
    clients = Clients(
        client("dynamodb"), client("s3"), sesv2, partial(client, "sqs"), partial(client, "secretsmanager")
    )
    acting = Acting.on(settings, clients, clock)

    def handler(event: dict[str, Any], context: object) -> BatchResponse:
        sources = {record.get("eventSourceARN") for record in event["Records"]}  # always one
        serve = acting.handle_result if sources == {settings.results_queue_arn} else acting.handle
        return serve_batch(event, serve, acting.journal, settings.attempts, HOPELESS)

    return handler


__getattr__ = at_start(globals(), make_handler)
