"""The options that every command has: the stack, and the output format."""

import importlib.metadata
import tomllib
from pathlib import Path
from typing import Annotated

import boto3
import typer

from ops.operator import Operator, Output


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("quarantine-report"))
        raise typer.Exit


Stack = Annotated[
    str | None,
    typer.Option(envvar="QUARANTINE_STACK", help="The stack's name. Default: the one in samconfig.toml."),
]
ConfigEnv = Annotated[str, typer.Option(help="The environment in samconfig.toml.")]
Profile = Annotated[str | None, typer.Option(help="As in the AWS CLI.")]
Region = Annotated[str | None, typer.Option(help="As in the AWS CLI.")]
EndpointUrl = Annotated[str | None, typer.Option(help="As in the AWS CLI.")]
OutputForm = Annotated[Output, typer.Option("--output", help="A table for a person, or JSON for a script.")]
Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]

SAMCONFIG = Path("samconfig.toml")
_DEFAULT_ENVIRONMENT = "default"
_DEFAULT_STACK = "quarantine-report"


def operator_of(
    stack: str | None,
    config_env: str,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    output: Output,
) -> Operator:
    """Return the operator for the given options."""
    name = stack or stack_name_of(SAMCONFIG, config_env) or _DEFAULT_STACK
    session = boto3.Session(profile_name=profile, region_name=region)
    return Operator(session, name, endpoint_url, output)


def stack_name_of(samconfig: Path, environment: str) -> str | None:
    """Return the stack name in a samconfig.toml, as `sam deploy` would use it; None if there is none.

    An environment that the file does not have is a wrong command line: another stack than the one that was
    meant must not be touched.
    """
    environments = tomllib.loads(samconfig.read_text()) if samconfig.exists() else {}
    config = environments.get(environment)
    if not isinstance(config, dict):
        if environment == _DEFAULT_ENVIRONMENT:
            return None
        known = ", ".join(name for name, value in environments.items() if isinstance(value, dict))
        seen = f"{samconfig} has {known or 'none'}" if samconfig.exists() else f"there is no {samconfig} here"
        raise typer.BadParameter(f"no environment {environment!r}: {seen}", param_hint="--config-env")
    for command in ("deploy", "global"):
        name = config.get(command, {}).get("parameters", {}).get("stack_name")
        if name:
            return str(name)
    return None
