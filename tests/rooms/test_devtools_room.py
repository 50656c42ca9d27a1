"""The workspaces as those see them who make them: the port WorkspaceRoom over a real disk."""

import asyncio
from pathlib import Path

import pytest

from dagi.errors import Conflict, Invalid, Missing, SandboxUnavailable
from dagi.observe.clock import SystemClock
from dagi.ports.workspaces import Wanted
from dagi.targets.devtools.workspaces.room import Clone, DiskRoom
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.workspace import Quota

pytestmark = pytest.mark.anyio


async def room(tmp_path: Path, clone: Clone | None = None) -> DiskRoom:
    workspaces = DiskWorkspaces(tmp_path / "workspaces", SystemClock(), quota=Quota(files=50), per_dao=2)
    await workspaces.open()
    return DiskRoom(workspaces, Quota(files=50), clone)


def wanted(name: str = "site", **how: str) -> Wanted:
    return Wanted(dao_id="green", name=name, by="tg:1", **how)


async def test_one_is_made_of_a_template_shown_listed_and_removed(tmp_path: Path) -> None:
    found = await room(tmp_path)
    assert await found.templates() == ["empty", "python"]
    made = await found.create(wanted(template="python"))
    assert (made.name, made.made_by, made.origin, made.max_files) == ("site", "tg:1", "template python", 50)
    assert made.files > 3
    assert await found.list("green") == [made] == [await found.show("green", "site")]
    assert await found.list("bees") == []
    await found.delete("green", "site")
    with pytest.raises(Missing):
        await found.show("green", "site")


async def test_what_is_wrong_is_named_as_the_caller_names_it(tmp_path: Path) -> None:
    found = await room(tmp_path)
    for asked, field in ((wanted("../x"), "name"), (wanted(template="rust"), "template"), (wanted(git="https://a.example/b"), "git")):
        with pytest.raises(Invalid) as caught:
            await found.create(asked)
        assert caught.value.facts["field"] == field
    await found.create(wanted())
    with pytest.raises(Conflict):
        await found.create(wanted())
    with pytest.raises(Invalid) as caught:
        await found.set_command("green", "site", "lint", ["\0"])
    assert caught.value.facts["field"] == "argv"


async def test_commands_named_at_once_are_all_kept_and_none_takes_one_away(tmp_path: Path) -> None:
    found = await room(tmp_path)
    await found.create(wanted())
    await asyncio.gather(*(found.set_command("green", "site", f"c{number}", ["make", str(number)]) for number in range(5)))
    assert await found.set_command("green", "site", "c0", []) == await found.show("green", "site")
    assert list((await found.show("green", "site")).commands) == ["c1", "c2", "c3", "c4"]


async def test_one_that_could_not_be_cloned_is_not_there_afterwards(tmp_path: Path) -> None:
    async def clone(asked: Wanted) -> None:
        raise SandboxUnavailable(f"No {asked.git}.")

    found = await room(tmp_path, clone)
    with pytest.raises(SandboxUnavailable):
        await found.create(wanted(git="https://a.example/b"))
    assert await found.list("green") == []


async def test_one_that_is_removed_while_all_are_listed_is_left_out(tmp_path: Path) -> None:
    found = await room(tmp_path)
    await found.create(wanted("a"))
    await found.create(wanted("b"))
    store = DiskWorkspaces(tmp_path / "workspaces", SystemClock())
    workspace = await store.find("green", "b")
    async with workspace.writing():
        removing = asyncio.create_task(store.delete("green", "b"))
        listing = asyncio.create_task(found.list("green"))
        for _ in range(50):
            await asyncio.sleep(0)
    await removing
    assert [one.name for one in await listing] == ["a"]
