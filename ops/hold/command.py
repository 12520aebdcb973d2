"""`quarantine-hold`: holds a mail from a filter's pipe, or is a server for filters that speak SMTP.

Exits with 0 when S3 has stored the mail, and with EX_TEMPFAIL of sysexits.h for any failure, including a
wrong option: the mail server keeps the mail and retries while somebody fixes the cause. Any other exit code
would make the mail server bounce it.

A pipe is a process for each mail. So nothing is imported here that one mail does not need: no Typer, no Rich,
no server (docs/decisions/0020-the-pipe.md).
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import boto3

from ops.hold.writer import PATIENT, HeldMailWriter, HoldMetadata
from quarantine.held import HoldReason
from quarantine.holding.filters.family import Family
from quarantine.mail.addresses import Address, InvalidAddress
from quarantine.mail.escaping import escaped_lines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from ops.operator import Operator

NAME = "quarantine-hold"


class HoldError(RuntimeError):
    """The mail is not held; the message says why."""


class Voice(Protocol):
    """What the command says: an Operator, or a Plain."""

    def say(self, text: str, **values: Any) -> None: ...
    def warn(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """Says what an Operator says, without its imports."""

    is_json: bool

    def say(self, text: str, **values: Any) -> None:
        print(json.dumps(values, indent=2) if self.is_json else escaped_lines(text), flush=True)  # noqa: T201

    def warn(self, text: str) -> None:
        _complain(f"warning: {text}")


def run(arguments: list[str], operator: "Operator | None" = None) -> int:
    """Run one command line and return 0 or EX_TEMPFAIL; a failure is reported in one line on standard error.

    operator: the caller's own; None to make what is needed from the options.
    """
    try:
        options = parser().parse_args(arguments)
        _check(options)
        _hold(options, operator)
    except SystemExit as e:  # of --help and --version
        return e.code if isinstance(e.code, int) else os.EX_TEMPFAIL
    except HoldError as e:
        return _failed(operator, str(e))
    except KeyboardInterrupt:
        return _failed(operator, "stopped")
    except Exception as e:  # noqa: BLE001 - the process's edge: a mail server bounces the mail after a traceback
        return _failed(operator, f"{type(e).__name__}: {e}")
    return 0


# --- The command line ---


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise HoldError(f"{message} (see {NAME} --help)")


class _ShowVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata  # noqa: PLC0415 - it reads the installed packages

        print(importlib.metadata.version("quarantine-report"))  # noqa: T201
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = _Parser(
        NAME,
        description="Hold the mail on standard input, or serve filters that speak SMTP.",
        epilog="Exits with 0 when the mail is stored, and with 75 (EX_TEMPFAIL) otherwise: a mail server then"
        " defers it.",
        allow_abbrev=False,
    )
    _add_mail(found)
    _add_server(found)
    _add_place(found)
    found.add_argument(
        "--output", choices=("table", "json"), default="table", help="text for a person, or JSON for a script"
    )
    found.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version")
    return found


def _add_mail(found: argparse.ArgumentParser) -> None:
    group = found.add_argument_group("the mail")
    group.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a recipient; may be repeated (default: from the filter's header fields)",
    )
    group.add_argument(
        "--reason",
        type=HoldReason,
        metavar="|".join(HoldReason),
        help="why it is held (default: from the filter's header fields)",
    )
    group.add_argument(
        "--filter",
        action="append",
        default=[],
        type=Family,
        metavar="|".join(Family),
        help="read the header fields of this filter before the mail is stored; may be repeated (default: the"
        " hold function reads them afterwards)",
    )
    group.add_argument("--score", default="", help="the score, on the filter's scale")
    group.add_argument("--sender", default="", help="shown instead of the From field")


def _add_server(found: argparse.ArgumentParser) -> None:
    group = found.add_argument_group("a server")
    group.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="serve SMTP and LMTP on this address, instead of reading one mail",
    )
    group.add_argument(
        "--by-header",
        action="store_true",
        help="take the recipients from the header fields, not from RCPT TO",
    )
    group.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="offer STARTTLS with this certificate chain (PEM)"
    )
    group.add_argument(
        "--tls-key",
        type=Path,
        metavar="FILE",
        help="its key, without a password (default: in the same file)",
    )


def _add_place(found: argparse.ArgumentParser) -> None:
    group = found.add_argument_group("where it is stored")
    group.add_argument(
        "--bucket",
        default=os.environ.get("MAIL_BUCKET"),
        help="the mail bucket (default: MAIL_BUCKET, or that of the stack)",
    )
    group.add_argument(
        "--stack",
        default=os.environ.get("QUARANTINE_STACK"),
        help="the stack's name (default: QUARANTINE_STACK, or the one in samconfig.toml)",
    )
    group.add_argument("--config-env", default="default", help="the environment in samconfig.toml")
    for name in ("--profile", "--region", "--endpoint-url"):
        group.add_argument(name, help="as in the AWS CLI")


def _check(options: argparse.Namespace) -> None:
    if options.listen is not None and (options.recipient or options.score or options.sender):
        raise HoldError("--recipient, --score and --sender are for one mail: not with --listen")
    if options.listen is None and (options.by_header or options.tls_cert or options.tls_key):
        raise HoldError("--by-header, --tls-cert and --tls-key are for a server: only with --listen")
    if options.tls_key and not options.tls_cert:
        raise HoldError("--tls-key needs --tls-cert")


# --- The work ---


def _hold(options: argparse.Namespace, operator: "Operator | None") -> None:
    session = (
        operator.session
        if operator
        else boto3.Session(profile_name=options.profile, region_name=options.region)
    )
    endpoint_url = operator.endpoint_url if operator else options.endpoint_url
    bucket = options.bucket or _operator(options, operator).name("MailBucketName")
    client: S3Client = session.client("s3", endpoint_url=endpoint_url, config=PATIENT)
    writer = HeldMailWriter(client, bucket)
    voice: Voice = operator or Plain(options.output == "json")
    if options.listen is None:
        _hold_one(options, writer, voice)
    else:
        _serve(options, writer, voice, bucket)


def _operator(options: argparse.Namespace, operator: "Operator | None") -> "Operator":
    if operator is not None:
        return operator
    from ops.operator import Output  # noqa: PLC0415 - not for a pipe that names its bucket
    from ops.options import operator_of  # noqa: PLC0415

    return operator_of(
        options.stack,
        options.config_env,
        options.profile,
        options.region,
        options.endpoint_url,
        Output(options.output),
    )


def _hold_one(options: argparse.Namespace, writer: HeldMailWriter, voice: Voice) -> None:
    metadata = HoldMetadata(tuple(options.recipient), options.reason, options.score, options.sender)
    for each in metadata.recipients:
        try:
            Address.parse(each)
        except InvalidAddress as e:
            # The mail is stored nevertheless: a bounce would go to an address that a spammer chose.
            voice.warn(f"it will wait in the dead-letter queue: {e}")
    mail = sys.stdin.buffer.read()
    if not mail.strip():
        raise HoldError("there is no mail on standard input")
    if options.filter:
        from ops.hold.reading import completed  # noqa: PLC0415 - not for a pipe that says why it holds a mail

        metadata = completed(mail, metadata, options.filter)
    keys = writer.put(mail, metadata)
    voice.say(f"held as {', '.join(keys)}", keys=keys)


def _serve(options: argparse.Namespace, writer: HeldMailWriter, voice: Voice, bucket: str) -> None:
    import asyncio  # noqa: PLC0415 - not for the pipe

    from ops.hold.front import FrontHandler  # noqa: PLC0415
    from ops.hold.serving import serve, tls_context  # noqa: PLC0415

    def ready(addresses: list[str]) -> None:
        voice.say(f"listening on {', '.join(addresses)} for {bucket}", listening=addresses, bucket=bucket)

    host, port = _address(options.listen)
    tls = tls_context(options.tls_cert, options.tls_key) if options.tls_cert else None
    handler = FrontHandler(
        writer, options.reason, by_header=options.by_header, families=options.filter, tls=tls
    )
    asyncio.run(serve(handler, host, port, ready))


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise HoldError(f"not HOST:PORT: {text}")
    return host.strip("[]"), int(port)


# --- Failures ---


def _failed(operator: "Operator | None", text: str) -> int:
    if operator is None:
        _complain(f"error: {text}")
    else:
        from ops import exits  # noqa: PLC0415 - the caller has it

        exits.failed(operator, f"error: {text}", os.EX_TEMPFAIL)
    return os.EX_TEMPFAIL


def _complain(text: str) -> None:
    print(escaped_lines(text), file=sys.stderr)  # noqa: T201
