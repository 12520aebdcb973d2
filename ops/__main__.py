"""The entry point of `quarantine`: it imports nothing at the top that a broken installation may lack."""

import os
import sys
import traceback
from contextlib import suppress

from ops.commandline import command_of


def main() -> None:
    arguments = sys.argv[1:]
    try:
        from ops.cli import run  # noqa: PLC0415 - within the try: an import may fail

        code = run(arguments)
    except KeyboardInterrupt:  # while the imports run
        print("stopped", file=sys.stderr)  # noqa: T201 - a program that talks to a terminal
        code = 130
    except Exception:
        if command_of(arguments) != "hold":
            raise
        # A mail server that calls quarantine-hold by this name bounces the mail after a traceback (exit 1).
        code = os.EX_TEMPFAIL
        with suppress(OSError):  # if the disk of the log is full
            traceback.print_exc()
    sys.exit(code)


if __name__ == "__main__":
    main()
