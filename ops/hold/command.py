"""`quarantine-hold`: holds a mail from a filter's pipe, or is a server for filters that speak SMTP.

Exits with 0 when S3 has stored the mail, and with EX_TEMPFAIL of sysexits.h for any failure, including a
wrong option: the mail server keeps the mail and retries while somebody fixes the cause. Any other exit code
would make the mail server bounce it.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops import exits, options
from ops.hold.writer import PATIENT, HeldMailWriter, HoldMetadata
from ops.operator import Operator, OperatorError, Output
from quarantine.held import HoldReason
from quarantine.mail.addresses import Address, InvalidAddress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

app = typer.Typer(
    name="quarantine-hold",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def hold(
    context: typer.Context,
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="A recipient; may be repeated. Default: from the filter's header fields."),
    ] = None,
    reason: Annotated[
        HoldReason | None, typer.Option(help="Why it is held. Default: from the filter's header fields.")
    ] = None,
    score: Annotated[str, typer.Option(help="The score, on the filter's scale.")] = "",
    sender: Annotated[str, typer.Option(help="Shown instead of the From field.")] = "",
    bucket: Annotated[
        str | None, typer.Option(envvar="MAIL_BUCKET", help="The mail bucket. Default: that of the stack.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Serve SMTP and LMTP on this address, instead of reading one mail."
        ),
    ] = None,
    by_header: Annotated[
        bool,
        typer.Option(
            "--by-header", help="With --listen: take the recipients from the header fields, not from RCPT TO."
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="With --listen: offer STARTTLS with this certificate chain (PEM).", metavar="FILE"),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(help="Its key, without a password. Default: in the same file.", metavar="FILE"),
    ] = None,
    stack: options.Stack = None,
    config_env: options.ConfigEnv = "default",
    profile: options.Profile = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    output: options.OutputForm = Output.TABLE,
    version: options.Version = False,
) -> None:
    """Hold the mail on standard input.

    Exits with 0 when it is stored, and with 75 (EX_TEMPFAIL) otherwise, so that a mail server defers it.
    """
    if listen is not None and (recipient or score or sender):
        raise OperatorError("--recipient, --score and --sender are for one mail: not with --listen")
    if listen is None and (by_header or tls_cert or tls_key):
        raise OperatorError("--by-header, --tls-cert and --tls-key are for a server: only with --listen")
    if tls_key and not tls_cert:
        raise OperatorError("--tls-key needs --tls-cert")
    operator: Operator = context.obj or options.operator_of(
        stack, config_env, profile, region, endpoint_url, output
    )
    client: S3Client = operator.session.client("s3", endpoint_url=operator.endpoint_url, config=PATIENT)
    name = bucket or operator.name("MailBucketName")
    writer = HeldMailWriter(client, name)
    if listen is not None:
        # The pipe does not need the server.
        from ops.hold.front import FrontHandler  # noqa: PLC0415
        from ops.hold.serving import serve, tls_context  # noqa: PLC0415

        def ready(addresses: list[str]) -> None:
            operator.say(f"listening on {', '.join(addresses)} for {name}", listening=addresses, bucket=name)

        address = _address(listen)
        tls = tls_context(tls_cert, tls_key) if tls_cert else None
        asyncio.run(serve(FrontHandler(writer, reason, by_header=by_header, tls=tls), *address, ready))
        return
    metadata = HoldMetadata(tuple(recipient or ()), reason, score, sender)
    for each in metadata.recipients:
        try:
            Address.parse(each)
        except InvalidAddress as e:
            # The mail is stored nevertheless: a bounce would go to an address that a spammer chose.
            operator.warn(f"it will wait in the dead-letter queue: {e}")
    mail = sys.stdin.buffer.read()
    if not mail.strip():
        raise OperatorError("there is no mail on standard input")
    keys = writer.put(mail, metadata)
    operator.say(f"held as {', '.join(keys)}", keys=keys)


def run(arguments: list[str], operator: Operator | None = None) -> int:
    """Run one command line and return 0 or EX_TEMPFAIL; a failure is reported in one line on standard error.

    operator: the caller's own; None to make one from the options.
    """
    try:
        return exits.run(app, arguments, operator) and exits.EX_TEMPFAIL
    except Exception as e:  # noqa: BLE001 - the process's edge: a mail server bounces the mail after a traceback
        return exits.failed(operator, f"error: {type(e).__name__}: {e}", exits.EX_TEMPFAIL)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise OperatorError(f"not HOST:PORT: {text}")
    return host.strip("[]"), int(port)
