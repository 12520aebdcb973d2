"""An operator of a stack in moto's memory."""

import io
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from rich.console import Console

from ops.cli import run
from ops.operator import Operator, Output
from tests.world import World


@dataclass(slots=True)
class Terminal:
    """Runs command lines as an operator would, and keeps their output."""

    operator: Operator
    out: io.StringIO = field(default_factory=io.StringIO)
    err: io.StringIO = field(default_factory=io.StringIO)

    def __call__(self, *arguments: str, output: Output = Output.TABLE) -> int:
        for stream in (self.out, self.err):
            stream.seek(0)
            stream.truncate()
        operator = replace(
            self.operator,
            output=output,
            out=Console(file=self.out, width=200, highlight=False),
            err=Console(file=self.err, width=200, highlight=False),
        )
        return run(list(arguments), operator)

    def json(self, *arguments: str) -> Any:
        """Run a command that succeeds, and return its JSON output."""
        assert self(*arguments, output=Output.JSON) == 0, self.err.getvalue()
        return json.loads(self.out.getvalue())

    @property
    def said(self) -> str:
        return self.out.getvalue()

    @property
    def warned(self) -> str:
        return self.err.getvalue()


@pytest.fixture
def terminal(world: World) -> Terminal:
    return Terminal(Operator(world.session, "quarantine", clock=world.clock))
