"""The command `dagi`. Each command reads its options, calls `assemble` or the running stack, and prints; it decides nothing."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Final

import typer

from dagi.cli.output import fail
from dagi.errors import DagiError

# A command's word, and the module that has it: as the function of that name, or as a group `app`.
COMMANDS: Final[Mapping[str, str]] = {
    "serve": "serve",
    "ask": "ask",
    "explain": "ask",
    "doctor": "doctor",
    "config": "configuration",
    "dao": "dao",
    "member": "member",
    "key": "keys",
    "identity": "identity",
    "spend": "spend",
    "role": "role",
    "access": "access",
    "audit": "audit",
    "dialogs": "dialogs",
    "logs": "logs",
    "chat": "chat",
    "init": "init",
    "db": "db",
    "cache": "cache",
    "governance": "governance",
    "channel": "channel",
    "telegram": "telegram",
    "discord": "discord",
    "workspace": "workspace",
    "tool": "tool",
}


def build(words: Sequence[str]) -> typer.Typer:
    """The command line with the named commands; loading the others would only cost time."""
    app = typer.Typer(
        name="dagi",
        help="DAGI Stack: a self-hosted AI gateway for communities run as microDAOs.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )

    @app.callback()
    def options(
        version: bool = typer.Option(False, "--version", help="Show the version.", callback=_version, is_eager=True),  # noqa: FBT001, FBT003
    ) -> None:
        """DAGI Stack: a self-hosted AI gateway for communities run as microDAOs."""
        del version

    for word in words:
        module = import_module(f"dagi.cli.{COMMANDS[word]}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=word)
        else:
            app.command(word)(getattr(module, word))
    return app


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's form of a callback
    if asked:
        from dagi.assemble.installation import stack_version  # noqa: PLC0415 - only for this

        typer.echo(f"dagi {stack_version()}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error of ours is one sentence and an exit status, never a traceback."""
    word = next((argument for argument in sys.argv[1:2] if argument in COMMANDS), None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that is not UTF-8 gets what it can show, with the rest as \u0456.
            stream.reconfigure(errors="backslashreplace")
    try:
        build([word] if word else list(COMMANDS))()
    except DagiError as error:
        sys.exit(fail(error))
    except BrokenPipeError:
        # Whoever reads has had enough. What Python still holds for it goes nowhere, or it would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        sys.stderr.write(f"The output cannot be written: {error.strerror}.\n")
        sys.exit(1)
