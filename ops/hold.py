"""`quarantine hold`: a mail from a filter's pipe into the quarantine, or a server for filters with SMTP.

Ends with 0 when S3 has the mail, and with EX_TEMPFAIL of sysexits.h for everything else, a wrong option too:
the mail server keeps the mail and tries again, while somebody mends it. Any other code would make it bounce.
"""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ops.heldbucket import PATIENT, HeldBucket, Told
from ops.operator import Operator, OperatorError
from quarantine.addresses import Address, InvalidAddress
from quarantine.report import HoldReason

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EX_TEMPFAIL = 75


def hold(
    context: typer.Context,
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="Whose mail it is; may be repeated. Else the filter's header fields say it."),
    ] = None,
    reason: Annotated[
        HoldReason | None, typer.Option(help="Why it is held. Else the filter's header fields say it.")
    ] = None,
    score: Annotated[str, typer.Option(help="How bad it is, on the filter's scale.")] = "",
    sender: Annotated[str, typer.Option(help="Shown in place of the From field.")] = "",
    bucket: Annotated[
        str | None, typer.Option(envvar="MAIL_BUCKET", help="The mail bucket; else that of the stack.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve SMTP and LMTP there, in place of reading one mail."),
    ] = None,
    by_header: Annotated[
        bool, typer.Option("--by-header", help="With --listen: the header fields say whose, not RCPT TO.")
    ] = False,
) -> None:
    """Hold the mail on standard input.

    Ends with 0 when it is stored, and with 75 (EX_TEMPFAIL) otherwise, so that a mail server defers it.
    """
    if listen is not None and (recipient or score or sender):
        raise OperatorError("--recipient, --score and --sender are of one mail: not with --listen")
    if listen is None and by_header:
        raise OperatorError("--by-header is of a server: only with --listen")
    operator: Operator = context.obj
    client: S3Client = operator.session.client("s3", endpoint_url=operator.endpoint_url, config=PATIENT)
    name = bucket or operator.name("MailBucketName")
    held = HeldBucket(client, name)
    if listen is not None:
        from ops.front import FrontHandler, serve  # noqa: PLC0415 - a pipe needs no server

        def ready(addresses: list[str]) -> None:
            operator.say(f"listening on {', '.join(addresses)} for {name}", listening=addresses, bucket=name)

        asyncio.run(serve(FrontHandler(held, reason, by_header=by_header), *_address(listen), ready))
        return
    told = Told(tuple(recipient or ()), reason, score, sender)
    for each in told.recipients:
        try:
            Address.parse(each)
        except InvalidAddress as e:
            # It is stored all the same: a mail that is sent back here goes to whom a spammer named.
            operator.warn(f"it will wait in the dead-letter queue: {e}")
    keys = held.put(sys.stdin.buffer.read(), told)
    operator.say(f"held as {', '.join(keys)}", keys=keys)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise OperatorError(f"not HOST:PORT: {text}")
    return host.strip("[]"), int(port)
