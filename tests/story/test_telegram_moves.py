"""Groups that get another id stay with their DAO, and bots of long names keep their exchanges apart."""

import pytest
from tests.conftest import DAO, StackFactory, until
from tests.story.test_telegram import channels, deliver, heard, telegram

from dagi.observe.clock import SystemClock
from dagi.ports.inbox import Lane
from dagi.stores.chat_bindings import BindingAdmin
from dagi.testing.telegram import BotApi

__all__ = ["telegram"]
pytestmark = pytest.mark.anyio
OLD, NEW, NEWEST = -77, -1001234567890, -1009876543210


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_a_group_that_moved_stays_with_its_dao_after_a_new_start(start: StackFactory, telegram: BotApi) -> None:
    settings = channels(telegram, chats={str(OLD): {"dao_id": "bees-dao", "mention_only": False}})
    async with start(channels=settings) as stack:
        await deliver(stack, telegram.message("", chat=OLD, migrate_to_chat_id=NEW))
        await until(lambda: stack.rows("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == [(0,)])
        await deliver(stack, telegram.message("", chat=NEWEST, migrate_from_chat_id=NEW))
        await until(lambda: stack.rows("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == [(0,)])
    async with start(channels=settings) as stack:
        # They are a member of the bot's own DAO, and not of the group's.
        await deliver(stack, telegram.message("What is this?", chat=NEWEST))
        assert (await heard(telegram, 1))[0].startswith("I do not know you yet")
        assert not stack.upstream.heard


async def test_what_the_configuration_says_about_the_new_id_counts(start: StackFactory, telegram: BotApi) -> None:
    chats: dict[str, object] = {str(OLD): {"dao_id": "bees-dao"}, str(NEW): {"mention_only": False}}
    async with start(channels=channels(telegram, chats=chats)) as stack:
        await deliver(stack, telegram.message("", chat=OLD, migrate_to_chat_id=NEW))
        await until(lambda: stack.rows("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == [(0,)])
        await deliver(stack, telegram.message("What is this?", chat=NEW))
        await heard(telegram, 1)
        assert len(stack.upstream.heard) == 1


async def test_a_chat_that_is_bound_while_the_stack_runs_belongs_to_that_dao_also_after_it_moved(
    start: StackFactory, telegram: BotApi
) -> None:
    async with start(channels=channels(telegram, chats={str(OLD): {"dao_id": "no-such-dao"}})) as stack:
        database = stack.installation.database()
        await BindingAdmin(database, SystemClock()).bind(Lane("telegram", "main", str(OLD)), DAO, mention_only=False)
        await database.close()
        for _ in range(50):
            # It is known within a second, whenever that begins.
            await deliver(stack, telegram.message("What is this?", chat=OLD))
            await until(lambda: stack.rows("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == [(0,)])
            if stack.upstream.heard:
                break
        await deliver(stack, telegram.message("", chat=OLD, migrate_to_chat_id=NEW))
        await until(lambda: stack.rows("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == [(0,)])
        await deliver(stack, telegram.message("And now?", chat=NEW))
        await until(lambda: len(stack.upstream.heard) == 2)


async def test_exchanges_of_a_bot_with_the_longest_name_have_ids_of_their_own(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram, name="b" * 64)) as stack:
        for text in ("What is this?", "And that?"):
            await deliver(stack, telegram.message(text))
        await heard(telegram, 2)
        await until(lambda: stack.rows("SELECT count(DISTINCT id) FROM exchange") == [(2,)])
