"""Options that many commands share."""

from typing import Annotated

import typer

from dagi.assemble.installation import Choice, Installation

Profile = Annotated[str | None, typer.Option("--profile", "-p", help="Profile: dev, staging, prod, or config/profiles/NAME.yml.")]
Config = Annotated[str | None, typer.Option("--config", "-c", help="Your own configuration file. Without --profile it means production.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def looked_at(profile: str | None, config: str | None) -> Installation:
    """The installation that the options name, for commands that write nothing."""
    return Installation.read(Choice(profile=profile, config=config))


def installation(profile: str | None, config: str | None) -> Installation:
    """The installation that the options name."""
    return Installation.of(Choice(profile=profile, config=config))
