"""One stack in moto's memory for all tests of a process: to make a stack takes longer than most tests."""

import contextlib
from collections.abc import Iterator
from typing import Any

from botocore.handlers import BUILTIN_HANDLERS
from moto import mock_aws
from moto.backends import get_backend

from local.stack import Stack, create_stack
from tests.world import new_session

REGION = "us-east-1"
_ACCOUNT = "123456789012"  # of moto, unless it is told otherwise

# What the stack is made of. Any other service is as empty as a new account once it is reset.
_OF_THE_STACK = {"cloudformation", "dynamodb", "s3", "ses", "sesv2", "sqs"}

# Calls that change nothing, and those whose effect `empty` undoes. After any other, the stack is made anew.
_READING = ("BatchGet", "Describe", "Get", "Head", "List", "Query", "Scan")
_OF_DATA = {
    "dynamodb": {
        *("BatchWriteItem", "DeleteItem", "ExecuteStatement"),
        *("PutItem", "TransactWriteItems", "UpdateItem"),
    },
    "s3": {"DeleteObject", "PutObject", "PutObjectTagging"},
    "ses": {"CreateReceiptRule", "CreateReceiptRuleSet", "SetActiveReceiptRuleSet"},
    "sesv2": {"SendEmail"},
    "sqs": {"ChangeMessageVisibility", "DeleteMessage", "ReceiveMessage", "SendMessage", "SendMessageBatch"},
}

type _Call = tuple[str, str]  # service, operation

_calls: set[_Call] = set()
_stacks: list[Stack] = []


def _note(model: Any, **_: object) -> None:
    _calls.add((model.service_model.service_name, model.name))


# As moto does it: every client of this process is heard, whoever makes it.
BUILTIN_HANDLERS.append(("before-call", _note))


@contextlib.contextmanager
def empty_stack() -> Iterator[Stack]:
    """Start moto, with the stack of template.yaml and nothing in it."""
    mock = mock_aws()
    mock.start(reset=False)
    is_as_made = False
    try:
        if not _backend("sqs").queues:  # the first test, or another one has reset moto
            _stacks[:] = [create_stack(new_session())]
            empty()  # S3 has sent a message to see whether it may
        _calls.clear()
        yield _stacks[0]
        if is_as_made := all(map(_is_undone, _calls)):
            empty()
    finally:
        mock.stop(remove_data=not is_as_made)


def _is_undone(call: _Call) -> bool:
    service, operation = call
    return (
        service not in _OF_THE_STACK
        or operation.startswith(_READING)
        or operation in _OF_DATA.get(service, ())
    )


def empty() -> None:
    """Take away all that the tests of this process left: the resources stay."""
    for table in _backend("dynamodb").tables.values():
        table.items.clear()
    sqs = _backend("sqs")
    for name, queue in sqs.queues.items():
        queue.last_purged_at = None  # SQS purges a queue once a minute
        sqs.purge_queue(name)
    s3 = _backend("s3")
    for bucket in s3.buckets.values():
        for key in list(bucket.keys):
            bucket.keys.pop(key)
    s3.tagger.tags.clear()
    ses = _backend("ses")
    identities = dict(ses.email_identities)
    ses.reset()
    ses.email_identities.update(identities)
    for service in {service for service, _ in _calls} - _OF_THE_STACK:
        _backend(service).reset()


def _backend(service: str) -> Any:
    backends: Any = get_backend(service)[_ACCOUNT]  # type: ignore[call-overload]  # any service
    return backends["aws" if service in {"iam", "s3", "sts"} else REGION]
