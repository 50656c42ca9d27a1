"""What a person said in shared places is found by what its rows tell, in every DAO or in one."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from sqlalchemy import text

from dagi.assemble.installation import Choice, Installation
from dagi.assemble.traces import reading
from dagi.channels.discord.interactions import interaction_of
from dagi.channels.discord.letters import letters, replies
from dagi.channels.discord.messages import Plain
from dagi.channels.told import Told
from dagi.ports.inbox import Lane, Update
from dagi.stores.chat_bindings import BindingAdmin
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.erasure import Erasure
from dagi.stores.inbox import SqlInbox
from dagi.stores.outbox import SqlOutbox
from dagi.stores.together import Together
from dagi.testing.clock import FakeClock
from dagi.testing.discord_delivery import PUBLIC_KEY
from dagi.testing.telegram import BotApi

pytestmark = pytest.mark.anyio
GREEN, BEES = "1200000000000000001", "1200000000000000002"
ANN, BEN = "987654321098765432", "187654321098765432"
HALL, HIVE, CORNER = "1300000000000000001", "1300000000000000002", "1300000000000000003"


@pytest.fixture
def erasing(database: Database, tmp_path: Path) -> Erasure:
    """Erases by what a configuration of two servers says, and by what bodies tell."""
    guilds = {BEES: {"dao_id": "bees"}}
    application = {"name": "main", "dao_id": "green", "application_id": "1" * 19, "public_key": PUBLIC_KEY, "guilds": guilds}
    bot = {"name": "main", "dao_id": "green", "mode": "polling", "chats": {"-1002": {"dao_id": "bees"}}}
    file = tmp_path / "dagi.yml"
    file.write_text(yaml.safe_dump({"channels": {"discord": {"applications": [application]}, "telegram": {"bots": [bot]}}}))
    known = reading(Installation.read(Choice(config=str(file))).loaded.settings.channels)
    return Erasure(database, FakeClock(), reading=known)


async def said(database: Database, number: int, lane: Lane, body: bytes) -> Update:
    update = Update(lane=lane, number=number, body=body, received_at=FakeClock().now())
    assert await SqlInbox(Together(database), FakeClock()).put(update)
    return update


async def in_discord(database: Database, number: int, person: str, guild: str, channel: str) -> None:
    """Somebody asks with a command and in plain words; neither is answered yet, and an answer to each is on its way."""
    outbox = SqlOutbox(Together(database), FakeClock())
    asked: dict[str, Any] = {"id": str(number), "type": 2, "token": "t", "guild_id": guild, "channel_id": channel}
    asked["member"] = {"user": {"id": person}}
    body = msgspec.json.encode(asked)
    told = Told(markdown="SECRET", request_id=f"dc-main-{number}")
    command = await said(database, number, Lane("discord", "main", f"{channel}/{person}"), body)
    await outbox.owe(letters(command, interaction_of(body), told))
    plain = Plain(id=str(number + 1), channel_id=channel, guild_id=guild, author=person, content="SECRET")
    words = await said(database, number + 1, Lane("discord", "main", channel), msgspec.json.encode(plain))
    await outbox.owe(replies(words, plain, told))


async def waiting(database: Database, table: str) -> list[str]:
    done = {"inbox": "handled_at", "outbox": "settled_at"}[table]
    async with database.read() as connection:
        return list(await connection.scalars(text(f"SELECT chat FROM {table} WHERE {done} IS NULL ORDER BY chat")))  # noqa: S608 - one of two


async def test_an_erased_person_leaves_nothing_in_the_channels_of_discord_and_others_keep_theirs(
    database: Database, erasing: Erasure
) -> None:
    await in_discord(database, 1000000000000000, ANN, GREEN, HALL)
    await in_discord(database, 1000000000000010, BEN, GREEN, HALL)
    assert (await erasing.count(f"dc:{ANN}")).messages == 4
    assert (await erasing.erase(f"dc:{ANN}")).messages == 4
    assert await waiting(database, "inbox") == [HALL, f"{HALL}/{BEN}"]
    assert await waiting(database, "outbox") == [HALL, f"{HALL}/{BEN}"]
    async with database.read() as connection:
        named = text("SELECT count(*) FROM outbox WHERE request_id = 'dc-main-1000000000000000' OR chat LIKE :ann")
        assert await connection.scalar(named, {"ann": f"%{ANN}%"}) == 0


async def test_in_one_dao_it_is_the_server_or_the_channel_that_tells(database: Database, erasing: Erasure) -> None:
    for dao in ("green", "bees"):
        await Daos(database, FakeClock()).create(dao, dao)
    await BindingAdmin(database, FakeClock()).bind(Lane("discord", "main", CORNER), "bees")
    await in_discord(database, 1000000000000000, ANN, GREEN, HALL)
    await in_discord(database, 1000000000000010, ANN, BEES, HIVE)
    await in_discord(database, 1000000000000020, ANN, GREEN, CORNER)
    assert (await erasing.erase(f"dc:{ANN}", "bees")).messages == 8
    assert await waiting(database, "inbox") == await waiting(database, "outbox") == [HALL, f"{HALL}/{ANN}"]
    assert (await erasing.erase(f"dc:{ANN}", "green")).messages == 4


async def test_what_somebody_asked_in_a_group_of_telegram_goes_too(database: Database, erasing: Erasure) -> None:
    telegram = BotApi()
    asked = [telegram.message("SECRET", user=user, chat=chat) for user in (5, 6) for chat in (-1001, -1002)]
    pressed = {"update_id": 9, "callback_query": {"id": "q", "from": {"id": 5}, "message": {"chat": {"id": -1001, "type": "group"}}}}
    for number, update in enumerate((*asked, pressed)):
        chat = str(update.get("message", {"chat": {"id": -1001}})["chat"]["id"])
        await said(database, number, Lane("telegram", "main", chat), msgspec.json.encode(update))
    assert (await erasing.erase("tg:5", "bees")).messages == 1
    assert (await erasing.erase("tg:5")).messages == 2
    assert await waiting(database, "inbox") == ["-1001", "-1002"]
