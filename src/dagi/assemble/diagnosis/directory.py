"""What `dagi doctor` says of the data directory and of every file whose readers matter."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dagi.assemble.diagnosis.machine import about_disk
from dagi.assemble.diagnosis.report import Report, bad, good, odd
from dagi.assemble.installation import Installation
from dagi.config.environment import DOTENV

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def about_directory(installation: Installation) -> Iterator[Report]:
    """Whether the data directory can be used, and by whom."""
    path = installation.data_dir
    why = _unwritable(path)
    if why is not None:
        fix = f"make it writable for this user: chown -R {os.getuid()} {path}, or set data_dir"
        yield bad("data directory", f"{path} cannot be made or written: {why}", fix)
        return
    yield good("data directory", f"{path} is writable")
    if path.stat().st_mode & OTHERS:
        yield odd("data directory", "others can read it", f"chmod 700 {path}")
    yield from about_disk(path)
    yield from _logs(path / "logs")
    for file in _private_files(installation):
        yield from _private(file)


def _unwritable(path: Path) -> str | None:
    probe = path / ".doctor"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _logs(path: Path) -> Iterator[Report]:
    """A log that cannot be written stops nothing, so it is easily missed."""
    if not path.exists():
        return
    fix = f"chown -R {os.getuid()} {path}; until then what happens is told on standard error alone"
    why = _unwritable(path)
    if why is not None:
        yield odd("log", f"{path} cannot be written: {why}", fix)
        return
    for file in sorted(path.glob("*.log")):
        if not os.access(file, os.W_OK):
            yield odd("log", f"{file} cannot be written by this user", fix)


def _private_files(installation: Installation) -> Iterator[Path]:
    """Every file that holds a secret or what members said."""
    data = installation.data_dir
    yield from sorted(data.glob("*.sqlite*"))
    yield from sorted(data.glob("keys/*"))
    yield from sorted(data.glob("logs/*.log*"))
    here = Path.cwd()
    yield here / DOTENV
    password = installation.loaded.settings.database.password_file
    if password is not None:
        yield here / password
    for provider in installation.loaded.settings.llm_providers:
        file = provider.config.get("api_key_file")
        if isinstance(file, str):
            yield here / file


def _private(path: Path) -> Iterator[Report]:
    try:
        found = path.stat()
    except OSError:
        return  # not there, or told of by whoever needs it
    if not stat.S_ISREG(found.st_mode):
        return
    if found.st_mode & OTHERS:
        yield odd("permissions", f"{path} can be read by others on this machine", f"chmod 600 {path}")
    elif found.st_uid not in {os.getuid(), 0}:
        yield odd("permissions", f"{path} belongs to another user (uid {found.st_uid})", f"chown {os.getuid()} {path}")
