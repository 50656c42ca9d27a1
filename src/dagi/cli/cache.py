"""`dagi cache`: the answers that the running stack keeps for equal questions."""

import asyncio
from typing import Annotated, cast

import typer

from dagi.cli.options import AsJson, Config, Profile, looked_at
from dagi.cli.output import as_json, say
from dagi.cli.stack import Stack

app = typer.Typer(help="Answers kept for equal questions, where a rule says `cache: {ttl_s: N}`.", no_args_is_help=True)

Url = Annotated[str | None, typer.Option("--url", help="Where the stack listens.")]
Key = Annotated[str | None, typer.Option("--key", help="An API key; DAGI_KEY or the demo key where left out.")]


@app.command()
def stats(url: Url = None, key: Key = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show what is kept, and how often it was of use. Needs `metrics.read`.

    Example: dagi cache stats
    """
    answer = asyncio.run(Stack.of(looked_at(profile, config), url, key).call("GET", "/cache"))
    if json:
        as_json(answer)
        return
    found = {name: cast("int", value) for name, value in answer.items()}
    say(f"Kept       {found['entries']} answers of at most {found['max_entries']}; {_mb(found['bytes'])} of {_mb(found['max_bytes'])}")
    say(f"Given      {found['hits']} again, {found['shared']} to questions that waited for an equal one")
    say(f"Asked      {found['misses']}, of which {found['stored']} were kept; {found['under_way']} under way")
    say(f"Not cached {found['skipped']} questions of a conversation or with files")
    say(f"Dropped    {found['evicted']} for want of room")


@app.command()
def clear(url: Url = None, key: Key = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Forget every answer. Needs `config.update`.

    Example: dagi cache clear
    """
    answer = asyncio.run(Stack.of(looked_at(profile, config), url, key).call("DELETE", "/cache"))
    if json:
        as_json(answer)
    else:
        say(f"Forgot {answer['cleared']} answers.")


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
