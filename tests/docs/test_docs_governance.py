"""The commands of the pages about proposals and memberships, run as they are written."""

from pathlib import Path

import pytest
from tests.docs.test_docs import blocks, commands, run

pytestmark = [pytest.mark.anyio, pytest.mark.process]
BEFORE = ("dagi dao create my-dao --name Mine", "dagi member create tg:1 --dao my-dao --role admin")


@pytest.mark.parametrize("page", ["docs/governance.md", "docs/membership.md"])
async def test_every_command_of_the_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    for file in blocks(page, "csv"):
        (tmp_path / "members.csv").write_text(file, encoding="utf-8")
    for line in (*BEFORE, *commands(page)):
        status, out = await run(line, tmp_path, 0)
        assert status == 0, f"{line}\n{out}"
