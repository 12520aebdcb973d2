"""Run one target under atheris: `python -m tests.fuzz.one TARGET [OPTION OF LIBFUZZER...] CORPUS...`.

atheris is not a dependency of the project: `make fuzz` installs it.
"""

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["quarantine"]):
    from tests.fuzz.targets import TARGETS


def mutate_event(data: bytes, max_size: int, seed: int) -> bytes:
    """Change one text of a JSON value, so that most inputs are still JSON."""
    chance = random.Random(seed)  # noqa: S311 - libFuzzer repeats itself by this seed
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _mutated(data, max_size)
    places = list(_places(value))
    if not places or chance.random() < 0.2:
        return _mutated(data, max_size)
    container, key = chance.choice(places)
    old = container[key]
    if isinstance(old, str) and chance.random() < 0.8:
        container[key] = _mutated(old.encode("utf-8", "surrogatepass"), 2000).decode("utf-8", "replace")
    else:
        container[key] = chance.choice([None, True, 0, 1e999, "", "\ud800", [], {}, chance.choice(places)[0]])
    try:
        return json.dumps(value)[:max_size].encode()
    except (ValueError, RecursionError):  # a value within itself
        return data


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a JSON value, as its container and the key or index in that."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _mutated(data: bytes, max_size: int) -> bytes:
    return bytes(atheris.Mutate(data, max_size))


def main() -> None:
    name, *arguments = sys.argv[1:]
    options = {"custom_mutator": mutate_event} if name == "event" else {}
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name], **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
