"""Where `quarantine-hold` starts, before anything is imported that a broken installation may lack."""

import os
import sys
import traceback
from contextlib import suppress


def main() -> None:
    try:
        from ops.hold.command import run  # noqa: PLC0415 - within the try: an import may fail

        code = run(sys.argv[1:])
    except Exception:  # noqa: BLE001 - the process's edge: a mail server bounces what ends in a traceback
        code = os.EX_TEMPFAIL
        with suppress(OSError):  # of a log on a full disk
            traceback.print_exc()
    sys.exit(code)


if __name__ == "__main__":
    main()
