"""All workspaces, in one directory: `<directory>/<dao_id>/<name>/`.

Every step is a rename, so whoever is killed leaves the old state or the new one, and `open` clears away what it left unfinished.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from dagi.access.names import check_dao
from dagi.errors import Conflict, Invalid, Missing
from dagi.ports.clock import Clock
from dagi.targets.devtools.workspaces.about import About, check_commands, check_workspace, read_about, sync_directory, write_about
from dagi.targets.devtools.workspaces.copying import Copy
from dagi.targets.devtools.workspaces.disk import ABOUT, DRAFT, LOCK, TREE, WORK, DiskWorkspace, settle
from dagi.targets.devtools.workspaces.kernel import DIRECTORY
from dagi.targets.devtools.workspaces.locks import Lock, held_at_once
from dagi.targets.devtools.workspaces.tally import check, remembered
from dagi.targets.devtools.workspaces.threads import to_its_end
from dagi.targets.devtools.workspaces.trouble import disk_works
from dagi.targets.devtools.workspaces.workspace import Quota, Usage

EMPTY: Final = "empty"
# Installers leave it in packaged templates, and the paths of this machine are in it.
_COMPILED: Final = ("__pycache__",)
_PACKAGED: Final = Path(__file__).with_name("templates")
# Neither a DAO nor a workspace can have these names.
_DRAFTS: Final = ".draft"
_MAKING: Final = ".lock"


class DiskWorkspaces:
    """The workspaces of all DAOs; the contract is `Workspaces`.

    Args:
        quota: of a workspace that has none of its own.
        per_dao: how many a DAO may have.
        templates: a directory of templates, each a directory of files, beside the packaged ones (and before them, where names are equal).
    """

    def __init__(
        self, directory: Path, clock: Clock, *, quota: Quota | None = None, per_dao: int = 20, templates: Path | None = None
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._quota = quota or Quota()
        self._per_dao = per_dao
        self._templates = templates
        self._locks: dict[Path, Lock] = {}
        self._known: dict[Path, tuple[tuple[int, int, int], About]] = {}

    async def open(self) -> None:
        """Make the directory, and clear away what killed processes left behind. Others may work in it meanwhile."""
        await to_its_end(self._swept)

    async def templates(self) -> Mapping[str, Path]:
        """What a workspace can be made from, beside `empty`."""
        return await to_its_end(self._found_templates)

    async def find(self, dao_id: str, name: str, *, make: bool = False, made_by: str = "") -> DiskWorkspace:
        """The workspace; an empty one is made where there is none and `make` says so.

        Raises:
            Invalid: no workspace can have that name.
            Missing: there is none of that name.
            Conflict: the DAO has as many as it may have.
        """
        directory = self._place(dao_id, name)
        try:
            return self._workspace(directory, dao_id, self._about(directory))
        except FileNotFoundError:
            if not make:
                raise Missing("There is no workspace of that name; make one first.") from None
        try:
            return await self.create(dao_id, name, made_by=made_by)
        except Conflict:
            # Made by somebody else at this moment, or there are too many.
            if not (directory / ABOUT).exists():
                raise
        return await self.find(dao_id, name)

    async def create(self, dao_id: str, name: str, *, made_by: str = "", template: str = EMPTY, origin: str = "") -> DiskWorkspace:
        """Make one.

        Args:
            origin: where its files will come from, if not from the template.

        Raises:
            Invalid: no workspace can have that name, or there is no such template.
            Conflict: there is one of that name, or the DAO has as many as it may have.
            PayloadTooLarge: the template is more than the quota.
        """
        directory = self._place(dao_id, name)
        source = await self._template(template)
        about = About(
            name=name,
            made_at=self._clock.now().isoformat(),
            made_by=made_by,
            origin=origin or (EMPTY if source is None else f"template {template}"),
        )
        await to_its_end(partial(directory.parent.mkdir, parents=True, exist_ok=True, mode=0o700))
        async with self._lock(directory.parent / _MAKING).exclusive():
            await to_its_end(partial(self._make, directory, about, source))
        return await self.find(dao_id, name)

    async def list(self, dao_id: str) -> tuple[About, ...]:
        """Those of a DAO, by name."""
        directory = self._directory / check_dao(dao_id)
        return await to_its_end(lambda: tuple(self._abouts(directory)))

    async def about(self, dao_id: str, name: str) -> About:
        """What it is. Raises as `find` does."""
        return (await self.find(dao_id, name)).about

    async def origin(self, dao_id: str, name: str) -> str:
        """What it was made from. Raises as `find` does."""
        return (await self.about(dao_id, name)).origin

    async def usage(self, dao_id: str, name: str) -> Usage:
        """What it holds. Raises as `find` does."""
        workspace = await self.find(dao_id, name)
        async with self._lock(workspace.directory / LOCK).shared() as fd:
            return remembered(fd) or Usage(*await to_its_end(workspace.measured))

    async def set_commands(self, dao_id: str, name: str, commands: Mapping[str, tuple[str, ...]]) -> About:
        """Say what may be run by name. Raises as `find` and `check_commands` do."""
        return await self._set(dao_id, name, lambda about: msgspec.structs.replace(about, commands=check_commands(commands)))

    async def set_command(self, dao_id: str, name: str, command: str, words: tuple[str, ...]) -> About:
        """Say what may be run by one name, or take the name away (no words). Raises as `set_commands` does."""

        def changed(about: About) -> About:
            others = {key: value for key, value in about.commands.items() if key != command}
            return msgspec.structs.replace(about, commands=check_commands({**others, command: words} if words else others))

        return await self._set(dao_id, name, changed)

    async def set_quota(self, dao_id: str, name: str, quota: Quota | None) -> About:
        """Give it a quota of its own, or (None) that of all. Raises as `find` does."""
        return await self._set(dao_id, name, lambda about: msgspec.structs.replace(about, quota=quota))

    async def delete(self, dao_id: str, name: str) -> None:
        """Remove it once nobody works in it. Raises as `find` does."""
        workspace = await self.find(dao_id, name)
        # The second lock keeps those away who clear away drafts.
        async with workspace.writing(), self._lock(workspace.directory.parent / _MAKING).exclusive():
            moved = await to_its_end(partial(_moved_aside, workspace.directory))
        self._known.pop(workspace.directory, None)
        self._locks.pop(workspace.directory / LOCK, None)
        await to_its_end(partial(shutil.rmtree, moved, ignore_errors=True))

    def _abouts(self, directory: Path) -> Iterator[About]:
        for name in _names(directory):
            # Removed since it was found.
            with suppress(FileNotFoundError):
                yield self._about(directory / name)

    def _place(self, dao_id: str, name: str) -> Path:
        return self._directory / check_dao(dao_id) / check_workspace(name)

    def _lock(self, file: Path) -> Lock:
        return self._locks.setdefault(file, Lock(file))

    def _workspace(self, directory: Path, dao_id: str, about: About) -> DiskWorkspace:
        return DiskWorkspace(directory, dao_id, about, about.quota or self._quota, self._lock(directory / LOCK))

    def _about(self, directory: Path) -> About:
        # A look at the file is enough to know whether what we know of it still holds, whichever process changed it.
        state = (directory / ABOUT).stat()
        signature = (state.st_ino, state.st_mtime_ns, state.st_size)
        known = self._known.get(directory)
        if known is None or known[0] != signature:
            known = self._known[directory] = signature, read_about(directory / ABOUT)
        return known[1]

    async def _set(self, dao_id: str, name: str, change: Callable[[About], About]) -> About:
        """Change what is written down, by what it is when nobody else can change it."""
        workspace = await self.find(dao_id, name)
        async with workspace.writing():
            about = change(self._about(workspace.directory))
            await to_its_end(partial(write_about, workspace.directory / ABOUT, about))
        return about

    async def _template(self, name: str) -> Path | None:
        if name == EMPTY:
            return None
        found = await self.templates()
        if name not in found:
            raise Invalid("There is no template of that name.", field="params.template", allowed=[EMPTY, *sorted(found)])
        return found[name]

    def _found_templates(self) -> Mapping[str, Path]:
        places = [_PACKAGED, *([self._templates] if self._templates is not None and self._templates.is_dir() else [])]
        return {
            path.name: path
            for place in places
            for path in sorted(place.iterdir())
            if path.is_dir() and not path.name.startswith((".", "_"))
        }

    @disk_works()
    def _make(self, directory: Path, about: About, source: Path | None) -> None:
        if directory.exists():
            raise Conflict("There is a workspace of that name already.")
        if len(_names(directory.parent)) >= self._per_dao:
            raise Conflict(f"The DAO has {self._per_dao} workspaces, as many as it may have; delete one first.", limit=self._per_dao)
        draft = _new_draft(directory.parent)
        try:
            (draft / WORK).mkdir(parents=True)
            (draft / DRAFT).mkdir()
            if source is None:
                (draft / WORK / TREE).mkdir()
            else:
                root = os.open(source.parent, DIRECTORY)
                try:
                    Copy(lambda usage: check(usage, self._quota), files=True, without=_COMPILED).make(
                        root, source.name, draft / WORK / TREE
                    )
                finally:
                    os.close(root)
            write_about(draft / ABOUT, about)
            draft.rename(directory)
            sync_directory(directory.parent)
        finally:
            # Its name is another one now, unless something went wrong.
            shutil.rmtree(draft, ignore_errors=True)

    @disk_works()
    def _swept(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for dao in sorted(path for path in self._directory.iterdir() if path.is_dir()):
            _alone(dao / _MAKING, partial(shutil.rmtree, dao / _DRAFTS, ignore_errors=True))
            for name in _names(dao):
                _alone(dao / name / LOCK, partial(settle, dao / name))


def _names(dao: Path) -> list[str]:
    try:
        with os.scandir(dao) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _new_draft(dao: Path) -> Path:
    draft = dao / _DRAFTS / secrets.token_hex(8)
    draft.mkdir(mode=0o700, parents=True)
    return draft


@disk_works()
def _moved_aside(directory: Path) -> Path:
    aside = _new_draft(directory.parent)
    directory.rename(aside / "gone")
    sync_directory(directory.parent)
    return aside


def _alone(lock: Path, work: Callable[[], object]) -> None:
    # Whoever holds the lock is at work, and what lies there is not left over.
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if held_at_once(fd):
            work()
    finally:
        os.close(fd)
