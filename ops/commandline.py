"""Which command a command line names, said without what may be missing from a broken installation."""

from collections.abc import Sequence

GLOBAL_OPTIONS = frozenset({"--stack", "--config-env", "--profile", "--region", "--endpoint-url", "--output"})
"""The global options that are followed by a value; tests/ops/test_cli.py compares them with the command's."""


def command_of(arguments: Sequence[str]) -> str | None:
    """Return the command that a command line names, also one that cannot be parsed; None for none."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in GLOBAL_OPTIONS:
            next(words, None)
    return None
