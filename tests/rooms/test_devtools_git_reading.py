"""What git says, where it says more than is read, or is stopped."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from dagi.errors import PayloadTooLarge
from dagi.targets.devtools.git.reading import read_numbers, read_status
from dagi.targets.devtools.git.running import Git
from dagi.targets.devtools.sandbox.job import DEAF, Bounds, Ears, Ending, Finished, Job

STATUS = (
    b"# branch.oid abc\0# branch.head main\0"
    b"1 .M N... 100644 100644 100644 aaa bbb a file\0"
    b"2 R. N... 100644 100644 100644 aaa bbb R100 new\0old\0? x\0"
)
NUMBERS = b"1\t2\ta\0-\t-\tb\0"


class Stopped:
    """A sandbox in which everything is stopped at a bound."""

    def __init__(self, ending: Ending) -> None:
        self._ending: Ending = ending

    async def check(self) -> None:
        """It holds."""

    @asynccontextmanager
    async def run(self, job: Job, ears: Ears = DEAF) -> AsyncGenerator[Finished]:
        """Nothing is run."""
        del job, ears
        yield Finished(ending=self._ending, status=None, stdout=b"", stderr=b"", cut=False, wall_s=1.0, root=-1)


def test_what_was_cut_off_is_read_as_far_as_it_is_whole() -> None:
    whole = [file.path for file in read_status(STATUS).files]
    assert whole == ["a file", "new", "x"]
    for end in range(len(STATUS)):
        found = [file.path for file in read_status(STATUS[:end]).files]
        assert found == whole[: len(found)]
    for end in range(len(NUMBERS)):
        assert [file.path for file in read_numbers(NUMBERS[:end])] == ["a", "b"][: NUMBERS[:end].count(b"\0")]


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["time", "memory", "output"])
async def test_what_takes_git_too_much_is_the_callers_to_make_smaller(ending: Ending) -> None:
    with pytest.raises(PayloadTooLarge, match=ending):
        async with Git(Stopped(ending)).script([], "git log", bounds=Bounds()):
            pass
