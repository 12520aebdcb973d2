"""How patient the functions are with AWS: all the calls of a run fit into its timeout, retries included.

botocore's own default waits a minute for an answer, which is longer than a function may run.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config

# DynamoDB, SQS and S3 answer in milliseconds; what they do not answer is safe to ask again.
TWO_ATTEMPTS = Config(
    connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}
)

# SES: SQS is what tries again. An attempt within botocore after a lost answer could send a report twice.
ONE_ATTEMPT = Config(connect_timeout=3, read_timeout=8, retries={"total_max_attempts": 1})


@contextmanager
def made_for_good() -> Iterator[None]:
    """Keep the garbage collector off what is made in this block: clients and their models stay as they are.

    Reading the models makes objects by the ten thousand, none of them garbage: a tenth of a start went into
    looking for some (docs/decisions/0008-start-up.md), and each later collection would look again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
