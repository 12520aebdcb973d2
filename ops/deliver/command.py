"""`quarantine deliver`: runs an agent until a signal stops it."""

import signal
import threading
from types import FrameType
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from ops import arguments
from ops.deliver.agent import Agent
from ops.deliver.target import Target, parse_target
from ops.operator import Operator
from quarantine.mail.escaping import escaped
from quarantine.stores.objects import HeldObjects

_PAUSE = 5  # seconds after an error of AWS


def deliver(
    context: typer.Context,
    to: Annotated[
        str,
        typer.Option(
            help="Where mail is handed over: smtp:HOST:PORT, lmtp:HOST:PORT, lmtp:/PATH or sendmail[:PATH]."
            " It must not pass the filter again.",
            metavar="TARGET",
        ),
    ],
    domain: Annotated[
        list[str],
        typer.Option(help="A domain that this mail server serves; may be repeated.", metavar="DOMAIN"),
    ],
    ca_file: Annotated[
        str | None,
        typer.Option(help="Trust these certificates (PEM), for a server elsewhere.", metavar="FILE"),
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(envvar="MAIL_BUCKET", help="The mail bucket. Default: that of the stack.")
    ] = None,
    releases_queue_url: Annotated[
        str | None,
        typer.Option(envvar="RELEASES_QUEUE_URL", help="The queue of pointers. Default: that of the stack."),
    ] = None,
    results_queue_url: Annotated[
        str | None,
        typer.Option(envvar="RESULTS_QUEUE_URL", help="The queue of results. Default: that of the stack."),
    ] = None,
    wait: Annotated[int, typer.Option(min=0, max=20, help="Seconds to wait for a message in one call.")] = 20,
    once: Annotated[bool, typer.Option("--once", help="End when no message waits.")] = False,
) -> None:
    """Hand released messages to the mail server beside this command, until SIGTERM or Ctrl-C.

    It ends within half a minute, or after the message in hand. Several may run, also on several machines.

    With the bucket and both queues as options or variables, it does not read the stack.
    """
    operator: Operator = context.obj
    target, domains = _target(to, ca_file), frozenset(map(_domain, domain))
    where = bucket or operator.name("MailBucketName")
    agent = Agent(
        sqs=operator.client("sqs"),
        mails=HeldObjects(operator.client("s3"), where),
        bucket=where,
        releases_url=releases_queue_url or operator.name("ReleasesQueueUrl"),
        results_url=results_queue_url or operator.name("ResultsQueueUrl"),
        domains=domains,
        target=target,
        wait=wait,
        clock=operator.clock,
        say=lambda text: operator.err.print(escaped(text), soft_wrap=True, markup=False),
    )
    _run(agent, once=once)


def _domain(text: str) -> str:
    if text == "*":
        raise typer.BadParameter("name each domain", param_hint="--domain")
    return arguments.domain(text)


def _target(text: str, ca_file: str | None) -> Target:
    try:
        return parse_target(text, ca_file)
    except ValueError as e:
        raise typer.BadParameter(str(e), param_hint="--to") from e


def _run(agent: Agent, *, once: bool) -> None:
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not stopping.is_set():
            try:
                if not agent.serve_next() and once:
                    return
            except (BotoCoreError, ClientError) as e:
                if once:
                    raise
                agent.say(f"AWS: {e}")
                stopping.wait(_PAUSE)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
