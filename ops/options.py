"""The options that every command has: the stack, and the output format."""

import importlib.metadata
from typing import Annotated

import boto3
import typer

from ops.operator import SAMCONFIG, Operator, Output, stack_name_of


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("quarantine-report"))
        raise typer.Exit


Stack = Annotated[str | None, typer.Option(help="The stack's name. Default: the one in samconfig.toml.")]
ConfigEnv = Annotated[str, typer.Option(help="The environment in samconfig.toml.")]
Profile = Annotated[str | None, typer.Option(help="As in the AWS CLI.")]
Region = Annotated[str | None, typer.Option(help="As in the AWS CLI.")]
EndpointUrl = Annotated[str | None, typer.Option(help="As in the AWS CLI.")]
OutputForm = Annotated[Output, typer.Option("--output", help="A table for a person, or JSON for a script.")]
Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]


def operator_of(
    stack: str | None,
    config_env: str,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    output: Output,
) -> Operator:
    """Return the operator for the given options."""
    name = stack or stack_name_of(SAMCONFIG, config_env) or "quarantine-report"
    session = boto3.Session(profile_name=profile, region_name=region)
    return Operator(session, name, endpoint_url, output)
