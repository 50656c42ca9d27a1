"""How git is run: in the sandbox, on copies of the files and of its own directory, with settings that are ours alone.

A repository cannot bring settings, hooks, filters or helpers: its `config` is written anew for each run, what could be set elsewhere is
set by variables (which count more than any file), and a driver that nobody has set up does not run, whatever `.gitattributes` asks for.
"""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from dagi.errors import Internal, PayloadTooLarge, SandboxUnavailable
from dagi.targets.devtools.sandbox.job import WORKSPACE, Bounds, Finished, Job, Place, Sandbox
from dagi.targets.devtools.workspaces.workspace import Quota, Workspace

TREE: Final = f"{WORKSPACE}/tree"
GIT: Final = f"{WORKSPACE}/git"
_OUT: Final = "out"
_WALL_S: Final = 60.0
# What git itself takes, beside the files it works on, which lie in memory.
_OWN_MEMORY: Final = 512 << 20
_NOT_FOUND: Final = 127
# A repository's own settings, in the place of those it may have come with.
CONFIG: Final = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
_SETTINGS: Final[Mapping[str, str]] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.quotePath": "false",
    "core.autocrlf": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.pager": "cat",
    "diff.external": "",
    "diff.renames": "true",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "init.defaultBranch": "main",
    "init.templateDir": "",
    "commit.gpgSign": "false",
    "merge.renames": "true",
    "protocol.allow": "never",
    "safe.directory": "*",
    "submodule.recurse": "false",
    "transfer.fsckObjects": "true",
    "user.useConfigOnly": "true",
}
# What every script begins with: a repository where there is none yet, and a place for what it has to tell.
_BEGIN: Final = f"""
set -eu
mkdir -p {WORKSPACE}/{_OUT} "$GIT_WORK_TREE"
out={WORKSPACE}/{_OUT}
commit_of() {{ git rev-parse --quiet --verify --end-of-options "$1^{{commit}}"; }}
[ -e "$GIT_DIR/HEAD" ] || git init --quiet
cd "$GIT_WORK_TREE"
"""


class Ran:
    """A script of git that has ended.

    Attributes:
        ending: `exit`; or `disk`, where it needs more room than it may take.
        status: what it ended with.
        root: see `Finished`; it holds `tree` and `git`.
    """

    def __init__(self, finished: Finished) -> None:
        self.ending = finished.ending
        self.status = finished.status
        self.root = finished.root
        self._said = finished.stderr

    def told(self, name: str, at_most: int = 1 << 20) -> bytes:
        """What it wrote to `$out/name`, as much as is wanted; nothing where it wrote nothing."""
        with suppress(FileNotFoundError):
            out = os.open(f"{_OUT}/{name}", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.root)
            with os.fdopen(out, "rb") as file:
                return file.read(at_most)
        return b""

    @property
    def complaint(self) -> str:
        """What git said, for people: of what it knows there are no paths but those of the sandbox."""
        lines = [line.strip() for line in self._said.decode(errors="replace").replace(f"{TREE}/", "").splitlines()]
        return " ".join(line for line in lines if line and not line.startswith(("hint:", "Aborting")))[:500]


class Git:
    """Runs scripts of git in the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @asynccontextmanager
    async def run(
        self, workspace: Workspace, script: str, arguments: Sequence[str] = (), *, files: Mapping[str, bytes] | None = None
    ) -> AsyncGenerator[Ran]:
        """Run a script on copies of the workspace's files and history. To be called while `reading` or `writing`.

        Args:
            script: of the shell, which ends where a command fails; it has `$out`, a directory for what it has to tell, and
                `commit_of REVISION`.
            arguments: its `$1` and so on.
            files: further files, found in `/workspace/in`.

        Raises:
            SandboxUnavailable: there is no sandbox, or no git.
            PayloadTooLarge: what is asked for takes git more time or memory than it may take.
            Internal: git could not do what it always can.
        """
        has_history = workspace.git.is_dir()
        places = [
            Place(path=TREE, source=workspace.tree),
            Place(path=GIT, source=workspace.git if has_history else None, files={"config": CONFIG} if has_history else {}),
            Place(path=f"{WORKSPACE}/in", files=files or {}),
        ]
        async with self.script(places, script, arguments, bounds=bounds_of(workspace.quota)) as ran:
            yield ran

    @asynccontextmanager
    async def script(
        self,
        places: Sequence[Place],
        script: str,
        arguments: Sequence[str] = (),
        *,
        bounds: Bounds,
        settings: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> AsyncGenerator[Ran]:
        """Run a script of git; see `run`.

        Args:
            settings: of git, over the usual ones.
        """
        job = Job(
            command=("sh", "-c", _BEGIN + script, "sh", *arguments),
            places=places,
            environment=_environment({**_SETTINGS, **(settings or {})}),
            bounds=bounds,
            network=network,
        )
        async with self._sandbox.run(job) as finished:
            if finished.status == _NOT_FOUND and b"git" in finished.stderr:
                raise SandboxUnavailable("Git is not installed where the developer tools run. Its operator can install it.")
            if finished.ending in {"time", "memory", "output"}:
                raise PayloadTooLarge(
                    f"Git was stopped, for it took too much {finished.ending}: ask for less, such as fewer paths or commits."
                )
            if finished.ending not in {"exit", "disk"}:
                raise Internal(f"Git was stopped at its bound ({finished.ending}).")
            yield Ran(finished)


def bounds_of(quota: Quota, wall_s: float = _WALL_S) -> Bounds:
    """What git may take for a workspace: its files and its history lie in memory, and both may grow."""
    disk = 2 * (quota.bytes + quota.history_bytes)
    return Bounds(
        wall_s=wall_s,
        cpu_s=wall_s,
        memory=disk + _OWN_MEMORY,
        processes=32,
        disk=disk,
        files=8 * quota.files + 10_000,
        file=disk,
        output=64 << 10,
    )


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    environment = {
        "GIT_DIR": GIT,
        "GIT_WORK_TREE": TREE,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_SSH_COMMAND": "/bin/false",
        "GIT_EDITOR": "/bin/false",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (name, value) in enumerate(settings.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = name
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment
