"""Scripts for Node.js, which `make test-rendering` installs with what they need."""

import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
FONTS = {"FONTCONFIG_FILE": str(HERE / "fonts.conf")}  # the pictures have these fonts and no others


def run(script: str, argument: object) -> object:
    """Give a script of this folder JSON; return the JSON it writes. Raises AssertionError if it fails."""
    done = subprocess.run(
        ["node", HERE / script],
        input=json.dumps(argument),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | FONTS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def program(*names: str) -> str:
    """Return the path of the first of these programs that the machine has."""
    found = [path for name in names if (path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))]
    assert found, f"no {names[0]} on this machine: `make test-rendering` installs it on Debian"
    return found[0]


def chromium() -> str:
    return program("chromium", "google-chrome")
