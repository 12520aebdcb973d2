"""`python -m local serve` and `python -m local demo`."""

import argparse
import contextlib
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

from local.ses import GRAY
from quarantine.asking.event import Verdict, Verdicts


def main() -> None:
    arguments = _parser().parse_args()
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The pipeline on your own machine.")
    commands = parser.add_subparsers(required=True)

    serve = commands.add_parser("serve", help="receive mail by SMTP, and write each report into a maildir")
    serve.add_argument(
        "--smtp-port", type=int, default=2525, metavar="N", help="0 for any free one (default 2525)"
    )
    serve.add_argument(
        "--hold-port", type=int, default=0, metavar="N", help="for held mail (default any free one)"
    )
    serve.add_argument(
        "--outbox", type=Path, default=Path("outbox"), metavar="DIR", help="maildir (default outbox)"
    )
    serve.add_argument(
        "--verdicts",
        type=_verdicts,
        default=GRAY,
        metavar="NAME=WORD,...",
        help="SES's verdicts for each mail: spam, virus, spf, dkim, dmarc; the default is GRAY",
    )
    serve.add_argument(
        "--parameter",
        type=_parameter,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of template.yaml, such as CooldownSeconds=0 (may be repeated)",
    )
    serve.add_argument(
        "--ses-rejects",
        type=str.encode,
        default=b"",
        metavar="TEXT",
        help="SES finds a virus in each mail that contains TEXT, after it accepted the mail",
    )
    serve.set_defaults(run=_serve)

    demo = commands.add_parser("demo", help="show five requests, and the one report that results from them")
    demo.add_argument(
        "--directory",
        type=Path,
        default=Path("build/demo"),
        metavar="DIR",
        help="directory for its output (default build/demo)",
    )
    demo.set_defaults(run=_demo)
    return parser


def _verdicts(text: str) -> Verdicts:
    pairs = dict(_parameter(pair) for pair in text.split(","))
    if unknown := pairs.keys() - set(Verdicts.__slots__):
        raise argparse.ArgumentTypeError(f"unknown verdict: {', '.join(sorted(unknown))}")
    try:
        return replace(GRAY, **{name: Verdict(word) for name, word in pairs.items()})
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{e}: {', '.join(Verdict)}") from e


def _parameter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"not KEY=VALUE: {text}")
    return key, value


def _serve(arguments: argparse.Namespace) -> None:
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before any thread starts: each inherits it
    ready = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # the functions' logs; standard output is for the ready line
        from local.pipeline import TICK
        from local.server import running

        with running(
            arguments.smtp_port,
            arguments.outbox,
            arguments.verdicts,
            dict(arguments.parameter),
            arguments.hold_port,
            rejects=arguments.ses_rejects,
        ) as local:
            line = {
                "smtp": local.smtp,
                "hold": local.hold,
                "endpoint_url": local.endpoint_url,
                "outbox": str(local.outbox),
                "env": local.environ,
            }
            print(json.dumps(line), file=ready, flush=True)
            print(
                f"Digest looks every {TICK:.0f} seconds for readers who are due; on AWS, every 5 minutes.",
                file=sys.stderr,
                flush=True,
            )
            signal.sigwait(signals)


def _demo(arguments: argparse.Namespace) -> None:
    from local.demo import demo

    demo(arguments.directory)


main()
