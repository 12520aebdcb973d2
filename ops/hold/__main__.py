"""The entry point of `quarantine-hold`: it imports nothing at the top that a broken installation may lack."""

import os
import sys
import traceback
from contextlib import suppress


def main() -> None:
    try:
        from ops.hold.command import run  # noqa: PLC0415 - within the try: an import may fail

        code = run(sys.argv[1:])
    except Exception:  # noqa: BLE001 - the process's edge: a mail server bounces the mail after a traceback
        code = os.EX_TEMPFAIL
        with suppress(OSError):  # if the disk of the log is full
            traceback.print_exc()
    sys.exit(code)


if __name__ == "__main__":
    main()
