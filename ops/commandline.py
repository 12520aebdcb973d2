"""Looks at a command line before it is parsed; it imports nothing that a broken installation may lack."""

from collections.abc import Sequence

GLOBAL_OPTIONS = frozenset({"--stack", "--config-env", "--profile", "--region", "--endpoint-url", "--output"})
"""The global options that take a value; tests/ops/test_cli.py compares them with those of the command."""

_OUTPUT = "--output"
_FORMS = frozenset({"json", "table"})


def command_of(arguments: Sequence[str]) -> str | None:
    """Return the command in a command line, even if the line cannot be parsed; None if there is none."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in GLOBAL_OPTIONS:
            next(words, None)
    return None


def output_first(arguments: Sequence[str]) -> list[str]:
    """Return a command line with its `--output json` in front, where it may also follow the command.

    Only with a format that there is; anything else stays in its place, for the parser to judge.
    """
    moved: list[str] = []
    kept: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, form = word.partition("=")
        if word == "--":
            kept += [word, *words]
            break
        if name == _OUTPUT and equals and form in _FORMS:
            moved = [_OUTPUT, form]
        elif word == _OUTPUT and words and words[0] in _FORMS:
            moved = [_OUTPUT, words.pop(0)]
        else:
            kept.append(word)
    return moved + kept
