"""Finds the command in a command line, without imports that may be missing in a broken installation."""

from collections.abc import Sequence

GLOBAL_OPTIONS = frozenset({"--stack", "--config-env", "--profile", "--region", "--endpoint-url", "--output"})
"""The global options that take a value; tests/ops/test_cli.py compares them with those of the command."""


def command_of(arguments: Sequence[str]) -> str | None:
    """Return the command in a command line, even if the line cannot be parsed; None if there is none."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in GLOBAL_OPTIONS:
            next(words, None)
    return None
