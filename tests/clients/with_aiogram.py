"""A bot of aiogram's against the scripted Bot API server. `make test-clients` runs this: aiogram cannot live beside our pydantic."""

import asyncio
import json
from pathlib import Path

import pytest

from dagi.testing.clock import FakeClock
from dagi.testing.telegram import TOKEN, BotApi

pytestmark = pytest.mark.anyio
PYTHON = Path(__file__).parents[2] / ".clients" / "aiogram" / "bin" / "python"


async def test_aiogram_takes_the_scripted_server_for_telegram() -> None:
    async with BotApi(FakeClock().monotonic) as api:
        api.blocked |= {5}
        api.migrated[-77] = -1001
        api.limits.on = True
        api.queue(api.message("one"))
        api.queue(api.message("two"))
        command = (str(PYTHON), str(Path(__file__).with_name("aiogram_bot.py")), api.url, TOKEN)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    assert json.loads(out.decode().strip().splitlines()[-1]) == {
        "me": "dagi_test_bot",
        "sent": ["🐝 bees", [["bold", 0, 2]]],
        "edited": "wasps",
        "html": "<b>a &lt; b</b>",
        "draft": True,
        "webhook": "https://dao.example/hook",
        "conflict": ["TelegramConflictError"],
        "heard": ["one", "two"],
        "blocked": ["TelegramForbiddenError"],
        "migrated": ["TelegramMigrateToChat", -1001],
        "too long": ["TelegramBadRequest"],
        "often": ["TelegramRetryAfter", 5],
    }
    assert [call.text for call in api.sent if call.parameters["chat_id"] in {12345, "12345"}][-2:] == ["re one", "re two"]
