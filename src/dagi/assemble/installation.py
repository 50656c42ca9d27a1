"""One installation: its configuration, its data directory, its database."""

import fcntl
import os
import shlex
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import gettempdir
from typing import IO, TYPE_CHECKING

import msgspec

from dagi.config import Loaded, load
from dagi.errors import ConfigError
from dagi.observe.log import MEGABYTE, LogPlan

if TYPE_CHECKING:
    from dagi.stores.database import Database
    from dagi.stores.postgres import Address

LONGEST_SOCKET_DIR = 80


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line chose; handed on to every process of the installation as JSON.

    Attributes:
        poll: the one bot of Telegram that works, fetching its updates whatever its mode says; all bots and applications where None.
    """

    profile: str | None = None
    config: str | None = None
    options: Mapping[str, str | int | bool | None] = {}
    poll: str | None = None

    def again(self) -> str:
        """The options that name the installation, to be repeated behind another command; empty, or begins with a space."""
        named = (("--profile", self.profile), ("--config", self.config))
        return "".join(f" {option} {shlex.quote(value)}" for option, value in named if value is not None)


class Installation(msgspec.Struct, frozen=True):
    """Where everything of one installation is.

    Attributes:
        choice: what the command line chose, for whoever tells the operator which command comes next.
    """

    loaded: Loaded
    data_dir: Path
    choice: Choice

    @classmethod
    def of(cls, choice: Choice) -> "Installation":
        """Load the configuration and make sure of the data directory.

        Raises:
            ConfigError: the configuration is wrong, or the data directory cannot be used.
        """
        found = cls.read(choice)
        found.make_data_dir()
        return found

    @classmethod
    def read(cls, choice: Choice) -> "Installation":
        """Load the configuration and touch nothing.

        Raises:
            ConfigError: the configuration is wrong.
        """
        loaded = load(choice.profile, Path(choice.config) if choice.config else None, options=choice.options)
        try:
            data_dir = Path(loaded.settings.data_dir).expanduser().absolute()
        except RuntimeError as error:
            raise loaded.origins.error([("data_dir", "names the home of a user who is not there; write the whole path")]) from error
        return cls(loaded, data_dir, choice)

    def make_data_dir(self) -> None:
        """Make sure of the data directory.

        Raises:
            ConfigError: it cannot be made.
        """
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            message = f"cannot be made a directory: {error.strerror}; set one you may write to"
            raise self.loaded.origins.error([("data_dir", message)]) from error

    def database_place(self) -> "Path | Address":
        """The file or the address of the installation's database.

        Raises:
            ConfigError: `database.url` names none.
        """
        # A command that only asks the running stack does not wait for SQLAlchemy to load.
        from dagi.stores.database import FILE_NAME  # noqa: PLC0415
        from dagi.stores.postgres import Address  # noqa: PLC0415

        settings = self.loaded.settings.database
        if settings.url is None:
            return self.data_dir / FILE_NAME
        if not settings.url.startswith("sqlite"):
            password = self.loaded.environment.secret(settings.model_dump(), "password")
            return Address(url=settings.url, password=password, connections=settings.connections)
        path = settings.url.partition(":///")[2]
        if not path:
            raise self.loaded.origins.error([("database.url", "names no file; write sqlite:///path/to/dagi.sqlite")])
        return Path(path).absolute()

    def database(self) -> "Database":
        """The installation's database.

        Raises:
            ConfigError: see `database_place`; or the driver for PostgreSQL is not installed.
        """
        from dagi.stores.database import Database  # noqa: PLC0415 - see database_place

        return Database(self.database_place())

    @property
    def sockets(self) -> Path:
        """Where processes of this installation meet. A unix socket's path is short (108 bytes), a data directory's may be long."""
        near = self.data_dir / "run"
        if len(os.fsencode(near)) <= LONGEST_SOCKET_DIR:
            return near
        return Path(gettempdir()) / f"dagi-{os.getuid()}-{sha256(str(self.data_dir).encode()).hexdigest()[:16]}"

    @property
    def embedder_socket(self) -> Path:
        """Where the embedder listens."""
        return self.sockets / "embedder.sock"

    @property
    def running_file(self) -> Path:
        """Says where the running stack listens, for commands on the same machine."""
        return self.data_dir / "run" / "serve.json"

    @property
    def demo_key_file(self) -> Path:
        """The demo key, made at the first start of a development installation."""
        return self.data_dir / "keys" / "demo.key"

    def lock(self) -> IO[bytes]:
        """Take the data directory for one running stack; closing the file, or the end of the process, gives it back.

        Raises:
            ConfigError: another stack runs on it.
        """
        path = self.data_dir / "run" / "lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.chmod(0o700)
            held = path.open("ab")
        except OSError as error:
            message = f"cannot hold the directory run: {error.strerror}; remove what stands there, or set another data_dir"
            raise self.loaded.origins.error([("data_dir", message)]) from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held.close()
            message = "another stack runs on it already; stop that one, or set another data_dir"
            raise self.loaded.origins.error([("data_dir", message)]) from error
        return held

    def log_plan(self) -> LogPlan:
        """How processes of this installation log."""
        logging = self.loaded.settings.logging
        return LogPlan(
            level=logging.level,
            form=logging.format,
            max_bytes=logging.rotation.max_size_mb * MEGABYTE,
            max_files=logging.rotation.max_files,
            directory=self.data_dir / "logs",
        )


class Running(msgspec.Struct):
    """A running stack, as `running_file` tells it.

    Attributes:
        choice: what it was started with.
        born: when its process began, as `born` tells it: the number of a process is given again to another one.
        urls: where each of its services is reached; `url` is the router's, or the first one's where it does not run.
    """

    pid: int
    url: str
    choice: Choice = Choice()
    born: int = 0
    urls: Mapping[str, str] = {}

    @property
    def lives(self) -> bool:
        """Whether the process that wrote this is still there."""
        return self.born == born(self.pid)


def born(pid: int) -> int | None:
    """When a process began, in the kernel's ticks since the machine did; None where there is none. See proc(5), `stat`, field 22."""
    try:
        # The name of the program, in brackets, may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)


def stack_version() -> str:
    """The version of this distribution."""
    return installed_version("dagi-stack")


def refuse_unsafe(loaded: Loaded) -> None:
    """Stop a staging or production start that would not be safe.

    Raises:
        ConfigError: with every reason and what to set.
    """
    reasons = loaded.unsafe()
    if reasons:
        raise ConfigError("Not started, because this would not be safe:\n" + "\n".join(reasons))
