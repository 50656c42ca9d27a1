"""`dagi db`: the database."""

import asyncio

import typer

from dagi.cli.options import Config, Profile, installation
from dagi.cli.output import say
from dagi.stores.upgrade import upgrade as run_upgrade

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The database."""


@app.command(epilog="Example: dagi db upgrade --profile prod")
def upgrade(profile: Profile = None, config: Config = None) -> None:
    """Bring the database to the schema this version needs. `dagi serve` does it by itself."""
    database = installation(profile, config).database()

    async def run() -> str:
        try:
            return await run_upgrade(database)
        finally:
            await database.close()

    say(f"The database is at schema {asyncio.run(run())}.")
