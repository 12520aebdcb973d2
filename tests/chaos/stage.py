"""The environment of a run: the stack of template.yaml, on moto in this process or on an emulator.

Nothing waits, and nothing is printed.
"""

import copy
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, Self
from unittest.mock import patch

import boto3
from aws_lambda_powertools import Logger
from moto import mock_aws
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from rich.console import Console

from local.stack import Stack, create_stack, load_template
from ops.cli import run
from ops.operator import Operator, Output
from tests.chaos.faults import Answer, of_moto, of_network
from tests.chaos.turns import Executor, Lock, Turns
from tests.world import new_session

_ACCOUNT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True)
class Stage:
    """session: without faults. answer: the service behind the functions' wire. turns: of hold's threads."""

    session: boto3.Session
    stack: Stack
    answer: Answer
    turns: Turns


class _OneThread:
    """A ThreadPoolExecutor that runs one call after the other: with threads, a seed would not fix the order.

    As with threads, all calls run before the first error is raised.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map[A, B](self, do: Callable[[A], B], values: Iterator[A]) -> Iterator[B]:
        futures: list[tuple[Future[B], A]] = [(Future(), value) for value in values]
        for future, value in self._rng.sample(futures, len(futures)):
            try:
                future.set_result(do(value))
            except BaseException as e:  # noqa: BLE001 - as a thread of the pool
                future.set_exception(e)
        return (future.result() for future, _ in futures)


def _snapshot(table: Any, _: object) -> Any:
    """Copy a table as far as a transaction changes it: moto copies every row at each transaction.

    A put replaces a row; an update changes it in its place, and updates are of counters alone.
    """
    taken = copy.copy(table)
    taken.items = copy.copy(table.items)
    if not table.has_range_key:
        taken.items.update({key: copy.deepcopy(row) for key, row in table.items.items() if "#" in str(key)})
    if table.has_range_key:
        taken.items.update({key: dict(rows) for key, rows in table.items.items()})
    return taken


_execute_statement = DynamoDBBackend.execute_statement


def _of_one_table(backend: Any, statement: str, parameters: Any) -> Any:
    """Execute a statement only on the table that it names: moto reads every row of every table."""
    one = copy.copy(backend)
    one.tables = {name: table for name, table in backend.tables.items() if f'"{name}"' in statement}
    return _execute_statement(one, statement, parameters)


@contextmanager
def staged(
    rng: Random, endpoint_url: str | None = None, parameters: Mapping[str, str] | None = None
) -> Iterator[Stage]:
    """Set up the stack. In it, botocore retries without waiting, and the functions' logs are discarded.

    endpoint_url: of an empty emulator; None for moto. parameters: of the template.
    """
    loggers = [Logger(service=name) for name in ("intake", "report", "act", "hold", "feedback", "digest")]
    levels = {logger: logger.log_level for logger in loggers}
    turns = Turns(rng)
    with (
        patch.dict(os.environ, _ACCOUNT),
        open(os.devnull, "w") as nowhere,  # noqa: PTH123 - the null device is not a path
        redirect_stdout(nowhere),
        patch("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None)),
        patch("quarantine.threads.ThreadPoolExecutor", lambda _: Executor(turns)),
        patch("quarantine.services.scheduling.Lock", lambda: Lock(turns)),
        patch("quarantine.services.digesting.ThreadPoolExecutor", lambda _: _OneThread(rng)),
        patch.object(Table, "__deepcopy__", _snapshot, create=True),
        patch.object(DynamoDBBackend, "execute_statement", _of_one_table),
        mock_aws() if endpoint_url is None else nullcontext(),
    ):
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
            os.environ.pop(name, None)
        if endpoint_url is not None:
            os.environ["AWS_ENDPOINT_URL"] = endpoint_url
        for logger in levels:
            logger.setLevel("CRITICAL")
        try:
            session = new_session()
            answer = of_network() if endpoint_url else of_moto
            yield Stage(session, create_stack(session, parameters), answer, turns)
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)


class _Deployed(Operator):
    """An operator of a stack that includes the functions."""

    def name(self, output: str) -> str:
        return "intake" if output == "IntakeFunctionName" else super().name(output)


def redrive(stage: Stage, invoke: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Run `quarantine redrive` and return its rows. invoke: what Lambda does with an event."""

    def invoked(params: Mapping[str, Any], **_: object) -> tuple[SimpleNamespace, dict[str, Any]]:
        invoke(json.loads(params["body"]))
        return SimpleNamespace(status_code=202), {"StatusCode": 202}

    session, out, err = new_session(), io.StringIO(), io.StringIO()
    session.events.register("before-call.lambda.Invoke", invoked)  # type: ignore[arg-type]  # it answers
    operator = _Deployed(
        session,
        "quarantine",
        output=Output.JSON,
        out=Console(file=out),
        err=Console(file=err),
        queue_wait=0,  # moto really waits, and returns all messages at once
    )
    code = run(["redrive"], operator)
    rows: list[dict[str, Any]] = json.loads(out.getvalue())
    if code not in {0, 1}:  # 1: something was left, as it should be
        raise RuntimeError(err.getvalue())
    return rows


def batch_size(mapping: str) -> int:
    return int(load_template()["Resources"][mapping]["Properties"]["BatchSize"])


def retries_of_intake() -> int:
    config = load_template()["Resources"]["IntakeFunction"]["Properties"]["EventInvokeConfig"]
    return int(config["MaximumRetryAttempts"])
