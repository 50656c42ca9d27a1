"""How runs end when whoever waits for them is in a hurry."""

import asyncio
import os
from pathlib import Path

import pytest

from dagi.observe.clock import SystemClock
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.sandbox.job import Ears, Job

pytestmark = pytest.mark.anyio


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()


async def test_whoever_is_told_again_and_again_to_hurry_still_leaves_nothing_behind() -> None:
    sandbox = Bubblewrap(Setting(), SystemClock())
    began = asyncio.Event()

    async def work() -> None:
        async with sandbox.run(Job(command=("sleep", "300")), Ears(begun=began.set)):
            pass

    await sandbox.check()
    before = children()
    running = asyncio.create_task(work())
    await began.wait()
    while not running.done():
        running.cancel()
        await asyncio.sleep(0)
    assert running.cancelled()
    assert children() == before
