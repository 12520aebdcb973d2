"""Report: SQS delivers the jobs of accepted requests."""

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
from quarantine.services.claiming import HOPELESS
from quarantine.services.reporting import Reporting
from quarantine.settings import ReportSettings


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Return the Lambda handler, with its clients. Raises BadSetting."""
    settings = ReportSettings.from_environ(environ)
    session = session or boto3.Session()
    dynamodb = session.client("dynamodb", config=TWO_ATTEMPTS)
    reporting = Reporting.on(settings, dynamodb, session.client("sesv2", config=ONE_ATTEMPT), clock)

    def handler(event: dict[str, Any], context: object) -> BatchResponse:
        return serve_batch(event, reporting.handle, reporting.journal, settings.attempts, HOPELESS)

    return handler


__getattr__ = at_start(globals(), make_handler)
