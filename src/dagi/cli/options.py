"""Options that many commands share."""

from typing import Annotated

import typer

from dagi.assemble.installation import Choice, Installation

Profile = Annotated[str | None, typer.Option("--profile", "-p", help="Profile: dev, staging, prod, or config/profiles/NAME.yml.")]
Config = Annotated[str | None, typer.Option("--config", "-c", help="Your own configuration file. Without --profile it means production.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def account_option(value: str | None) -> str | None:
    """An account that an option names, a wallet in either spelling; nothing where it names none.

    Raises:
        Invalid: it has not the form of one.
    """
    from dagi.access.wallets import account  # noqa: PLC0415 - what it is checked with takes long to load, and few name one

    return account(value) if value else value


def looked_at(profile: str | None, config: str | None) -> Installation:
    """The installation that the options name, for commands that write nothing."""
    return Installation.read(Choice(profile=profile, config=config))


def installation(profile: str | None, config: str | None) -> Installation:
    """The installation that the options name."""
    return Installation.of(Choice(profile=profile, config=config))
