"""A real PostgreSQL server for tests: in a temporary directory, on a socket of its own, as a user who is not root, safe from nothing."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

_DEBIAN: Final = Path("/usr/lib/postgresql")
START_S: Final = 30.0
# Nothing of a test survives it, so nothing has to reach the disk.
_OPTIONS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "jit": "off",
}


def programs() -> Path | None:
    """The directory of the server's programs, the newest where there are several; None where it is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    return versions[-1].parent if versions else None


class PostgresServer:
    """A server that can be started, stopped, killed, held still and started again; its data stays until `close`.

    Args:
        durable: what was committed outlives `kill`.

    Attributes:
        owner: a role that may make databases and is no superuser; every URL given out is its own.
    """

    owner: Final = "dagi"

    def __init__(self, *, durable: bool = False) -> None:
        self._options = {**_OPTIONS, "synchronous_commit": "on"} if durable else _OPTIONS
        found = programs()
        if found is None:
            raise FileNotFoundError("PostgreSQL's server is not installed: scripts/packages.sh postgres")
        self._programs = found
        # A socket's path is short; other users have to reach the directory.
        self._directory = Path(tempfile.mkdtemp(prefix="dagi-pg-"))
        self._user = _user()
        if self._user is not None:
            os.chown(self._directory, self._user, -1)
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync")
        self.start()
        self.sql(f"CREATE ROLE {self.owner} LOGIN CREATEDB")

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._directory), *options]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the server's own program
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self._user, group=self._group, cwd="/"
            )
        give_up = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise TimeoutError((self._directory / "log").read_text(encoding="utf-8", errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once, as a restart does: who is connected is thrown out."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Let it die as in a power failure."""
        self._end(signal.SIGQUIT)

    def url(self, name: str, user: str | None = None) -> str:
        """The address of a database."""
        return f"postgresql://{user or self.owner}@/{name}?host={self._directory}"

    def database(self, template: str = "template0") -> str:
        """Make a database, from a template where one is named; returns its name."""
        self._made += 1
        name = f"d{os.getpid()}_{self._made}"
        self.sql(f"CREATE DATABASE {name} OWNER {self.owner} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, statement: str, name: str = "postgres", user: str = "postgres") -> list[list[str]]:
        """Run a statement, as the superuser where no other one is named; returns the rows as texts."""
        done = self._run(
            "psql", "-h", str(self._directory), "-U", user, "-d", name, "-XAtq", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-c", statement
        )
        return [line.split("\x1f") for line in done.splitlines()]

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _group(self) -> int | None:
        return None if self._user is None else pwd.getpwuid(self._user).pw_gid

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait(START_S)

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self._directory)]
        return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - the same

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - the same
            [str(self._programs / program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            user=self._user,
            group=self._group,
            cwd="/",
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.strip()[-500:]}")
        return done.stdout


def _user() -> int | None:
    """Who runs the server where we are root, which it refuses to be; None where we are not."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return next(names[name] for name in ("postgres", "nobody") if name in names)
