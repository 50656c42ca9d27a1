"""What is written down of a workspace: a file beside its files."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from dagi.errors import Invalid, StoreError
from dagi.targets.devtools.workspaces.trouble import disk_works
from dagi.targets.devtools.workspaces.workspace import Quota

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_MAX_COMMANDS: Final = 32
_MAX_WORDS: Final = 64
_MAX_WORD: Final = 4096


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace.

    Attributes:
        made_at: ISO 8601, UTC.
        made_by: the user's id.
        origin: `empty`, `template <name>`, or a git URL.
        quota: its own, where it has one.
        commands: what may be run by name: program and arguments.
    """

    name: str
    made_at: str
    made_by: str
    origin: str
    quota: Quota | None = None
    commands: Mapping[str, tuple[str, ...]] = {}


def check_workspace(name: str) -> str:
    """A workspace's name.

    Raises:
        Invalid: it is none.
    """
    if not _NAME.match(name) or ".." in name:
        raise Invalid(
            "A workspace's name has 1 to 64 lower-case letters, digits, dots, dashes or underscores, and no two dots together.",
            field="params.workspace",
        )
    return name


def check_commands(commands: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Commands by their names.

    Raises:
        Invalid: too many, a name that is none, or words that no program can be given.
    """
    if len(commands) > _MAX_COMMANDS:
        raise Invalid(f"A workspace has at most {_MAX_COMMANDS} commands.", field="params.commands")
    for name, words in commands.items():
        if not _NAME.match(name):
            raise Invalid("A command's name has 1 to 64 lower-case letters, digits, dots, dashes or underscores.", field="params.commands")
        if not 0 < len(words) <= _MAX_WORDS or not words[0] or any("\0" in word or len(word) > _MAX_WORD for word in words):
            raise Invalid(
                f"A command is a program and its arguments: 1 to {_MAX_WORDS} words of at most {_MAX_WORD} characters, without NUL.",
                field=f"params.commands.{name}",
            )
    return commands


def read_about(file: Path) -> About:
    """What the file says.

    Raises:
        FileNotFoundError: there is no such workspace.
        StoreError: it cannot be read.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=About)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError("The description of a workspace (about.json) is damaged; restore it, or remove the workspace.") from error


@disk_works()
def write_about(file: Path, about: About) -> None:
    """Put it in the place of what stands there, at once or not at all.

    Raises:
        StoreError: the disk is full, or does not work.
    """
    draft = file.with_name(f"draft-{secrets.token_hex(4)}.json")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.format(msgspec.json.encode(about)))
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.replace(file)
    sync_directory(file.parent)


def sync_directory(path: Path) -> None:
    """Make names that were given or taken in it last."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
