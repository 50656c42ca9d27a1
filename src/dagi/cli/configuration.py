"""`dagi config`: what is in force, where it came from, and whether it is right."""

import os
import signal
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from dagi.assemble.applications import read_applications
from dagi.assemble.bots import read_bots
from dagi.assemble.installation import Installation, Running
from dagi.assemble.outside import read_outside
from dagi.assemble.providers import read_providers, read_rules
from dagi.assemble.reload import Outcome
from dagi.cli.options import AsJson, Config, Profile, looked_at
from dagi.cli.output import as_json, say
from dagi.cli.stack import NotRunning, running
from dagi.config import ABSENT, Change, as_data, as_text, differences, origins_data
from dagi.errors import ConfigError

# How long a running stack is given to read its configuration.
PATIENCE_S: Final = 15.0

app = typer.Typer(help="The configuration: check it, show what is in force.", no_args_is_help=True)


@app.command(epilog="Example: dagi config check --config my.yml")
def check(profile: Profile = None, config: Config = None) -> None:
    """Check the configuration. Exit status 0: it can be used; 78: it cannot."""
    of = looked_at(profile, config)
    providers = read_providers(of.loaded)
    rules = read_rules(of.loaded, providers)
    outside, bots, applications = read_outside(of.loaded), read_bots(of.loaded), read_applications(of.loaded)
    of.database_place()
    unsafe = of.loaded.unsafe()
    if unsafe:
        raise ConfigError("\n".join(unsafe))
    for note in (*of.loaded.warnings, *rules.warnings):
        typer.echo(f"warning: {note}", err=True)
    for provider in providers:
        if provider.missing:
            typer.echo(f"note: {provider.name}: {provider.missing}", err=True)
    for note in (*outside.notes, *bots.notes, *applications.notes):
        typer.echo(f"note: {note}", err=True)
    settings = of.loaded.settings
    say(f"The configuration is good: {settings.environment}, {len(providers)} providers, {len(rules.rules.rules)} rules.")


@app.command(epilog="Example: dagi config diff")
def diff(profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show what a reload or a restart of the running stack would change. Exit status 0: nothing; 1: something; 78: it is broken.

    Without --profile and --config it reads what the running stack was started with. Secrets are not compared.
    """
    stack, run_dir = _running(profile, config)
    fresh = Installation.read(stack.choice) if (profile, config) == (None, None) else looked_at(profile, config)
    read_rules(fresh.loaded, read_providers(fresh.loaded))
    in_force: dict[str, object] = msgspec.json.decode((run_dir / "config.json").read_bytes())
    # Options of the command line are part of what is in force, and of nothing in the files.
    changes = [change for change in differences(in_force, as_data(fresh.loaded)) if change.key not in stack.choice.options]
    if json:
        as_json([_change(change) for change in changes])
    else:
        for change in changes:
            say(f"{change.key}: {_value(change.before)} -> {_value(change.after)}{'  (needs a restart)' if change.restart else ''}")
        if not changes:
            say("Nothing would change.")
    if changes:
        raise typer.Exit(1)


@app.command(epilog="Example: dagi config reload")
def reload(profile: Profile = None, config: Config = None) -> None:
    """Put the configuration in force in the running stack. Exit status 0: it is; 78: it is broken, and the old one goes on."""
    stack, run_dir = _running(profile, config)
    told = run_dir / "reload.json"
    before = told.read_bytes() if told.exists() else b""
    os.kill(stack.pid, signal.SIGHUP)
    until = time.monotonic() + PATIENCE_S
    while not told.exists() or told.read_bytes() == before:
        if time.monotonic() > until:
            raise NotRunning(f"The stack has not told within {PATIENCE_S:g} s what became of it; its log may.")
        time.sleep(0.05)
    outcome = msgspec.json.decode(told.read_bytes(), type=Outcome)
    if outcome.outcome == "refused":
        raise ConfigError(f"Not put in force; the old configuration goes on.\n{outcome.message}")
    for warning in outcome.warnings:
        typer.echo(f"warning: {warning}", err=True)
    say(f"In force now: {', '.join(outcome.changed)}." if outcome.changed else "Nothing has changed that a reload puts in force.")
    if outcome.restart:
        say(f"At the next start only: {', '.join(outcome.restart)}.")


@app.command(epilog="Example: dagi config show --origin")
def show(
    profile: Profile = None,
    config: Config = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    json: AsJson = False,
) -> None:
    """Show the configuration in force, without secrets."""
    loaded = looked_at(profile, config).loaded
    if json:
        data = as_data(loaded)
        as_json({"settings": data, "origins": origins_data(loaded)} if origin else data)
    else:
        say(as_text(loaded, with_origin=origin).rstrip())


def _running(profile: str | None, config: str | None) -> tuple[Running, Path]:
    """The running stack of the installation that the options name, and where it tells about itself.

    Raises:
        NotRunning: there is none.
    """
    of = looked_at(profile, config)
    found = running(of.running_file)
    if found is None:
        raise NotRunning(f"No stack runs on {of.data_dir}. Name its configuration (--config), or start it: dagi serve{of.choice.again()}")
    return found, of.running_file.parent


def _value(value: object) -> str:
    return "(nothing)" if value is ABSENT else msgspec.json.encode(value).decode()


def _change(change: Change) -> dict[str, object]:
    values = {name: value for name, value in (("before", change.before), ("after", change.after)) if value is not ABSENT}
    return {"key": change.key, **values, "restart": change.restart}
