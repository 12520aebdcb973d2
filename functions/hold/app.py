"""Hold: SQS delivers S3's notifications about the mails that filters store in the bucket."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config

from quarantine.runtime import TWO_ATTEMPTS, BatchResponse, Handler, at_start, serve_batch, utc_now
from quarantine.services.holding import CALLS_AT_ONCE, Holding
from quarantine.settings import HoldSettings

# mypy has checked the parameters of hold's few calls; to check them again was a ninth of its CPU.
_CONFIG: Final = Config(max_pool_connections=CALLS_AT_ONCE, parameter_validation=False)


def make_handler(
    environ: Mapping[str, str],
    session: boto3.Session | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Return the Lambda handler, with its clients. Raises BadSetting."""
    settings = HoldSettings.from_environ(environ)
    config = TWO_ATTEMPTS.merge(_CONFIG)
    client = partial((session or boto3.Session()).client, config=config)
    holding = Holding.on(settings, client("dynamodb"), client("s3"), client("sqs"), clock)

    def handler(event: dict[str, Any], context: object) -> BatchResponse:
        return serve_batch(
            event,
            holding.handle,
            holding.journal,
            settings.attempts,
            calls=holding.threads.map,
            give_up=holding.give_up,
        )

    return handler


__getattr__ = at_start(globals(), make_handler)
