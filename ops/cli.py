"""`quarantine`: the global options and the groups of commands."""

import typer

from ops import (
    activate,
    asks,
    auth,
    digest,
    doctor,
    exits,
    forget,
    held,
    options,
    redrive,
    relay,
    report,
    requests,
    why,
)
from ops.commandline import command_of, output_first
from ops.deliver import command as deliver_command
from ops.hold import command as hold_command
from ops.operator import Operator, Output

app = typer.Typer(
    name="quarantine",
    help="Operate a quarantine report by email: senders, requests and held mail.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(relay.app, name="relay")
app.add_typer(auth.app, name="auth")
app.add_typer(held.app, name="held")
app.add_typer(requests.app, name="requests")
app.add_typer(asks.app, name="asks")
app.add_typer(digest.app, name="digest")
app.add_typer(report.app, name="report")
app.command()(doctor.doctor)
app.command()(activate.activate)
app.command()(why.why)
app.command()(redrive.redrive)
app.command()(forget.forget)
app.command()(deliver_command.deliver)


@app.callback()
def _options(
    context: typer.Context,
    stack: options.Stack = None,
    config_env: options.ConfigEnv = "default",
    profile: options.Profile = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    output: options.OutputForm = Output.TABLE,
    version: options.Version = False,
) -> None:
    if context.obj is None:  # else the caller passed one, as the tests do
        context.obj = options.operator_of(stack, config_env, profile, region, endpoint_url, output)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
)
def hold(context: typer.Context) -> None:
    """Do the same as quarantine-hold, with the same exit codes. Version 1.0 will remove it."""
    raise typer.Exit(hold_command.run(context.args, context.obj))


def run(arguments: list[str], operator: Operator | None = None) -> int:
    """Run one command line and return its exit code; a failure is one line on standard error."""
    code = exits.run(app, output_first(arguments), operator)
    # A mail server that calls quarantine-hold by this name must not bounce mail for a wrong global option.
    return exits.EX_TEMPFAIL if code and command_of(arguments) == "hold" else code
