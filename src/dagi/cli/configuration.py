"""`dagi config`: what is in force, where it came from, and whether it is right."""

from typing import Annotated

import typer

from dagi.assemble.providers import read_providers, read_rules
from dagi.cli.options import AsJson, Config, Profile, looked_at
from dagi.cli.output import as_json, say
from dagi.config import as_data, as_text, origins_data
from dagi.errors import ConfigError

app = typer.Typer(help="The configuration: check it, show what is in force.", no_args_is_help=True)


@app.command(epilog="Example: dagi config check --config my.yml")
def check(profile: Profile = None, config: Config = None) -> None:
    """Check the configuration. Exit status 0: it can be used; 78: it cannot."""
    of = looked_at(profile, config)
    providers = read_providers(of.loaded)
    rules = read_rules(of.loaded, providers)
    of.database_path()
    unsafe = of.loaded.unsafe()
    if unsafe:
        raise ConfigError("\n".join(unsafe))
    for note in (*of.loaded.warnings, *rules.warnings):
        typer.echo(f"warning: {note}", err=True)
    for provider in providers:
        if provider.missing:
            typer.echo(f"note: {provider.name}: {provider.missing}", err=True)
    settings = of.loaded.settings
    say(f"The configuration is good: {settings.environment}, {len(providers)} providers, {len(rules.rules.rules)} rules.")


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
