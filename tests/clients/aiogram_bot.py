"""Does with a bot of aiogram's what its first argument's server is asked for; prints what came of it as JSON. Runs in .clients/aiogram."""

import asyncio
import json
import sys

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramMigrateToChat, TelegramRetryAfter
from aiogram.types import Message, MessageEntity

ANN, BLOCKED, OLD_GROUP = 12345, 5, -77


async def refused(call) -> list[object]:
    """The exception a call ends with."""
    try:
        await call
    except TelegramRetryAfter as error:
        return [type(error).__name__, error.retry_after]
    except TelegramMigrateToChat as error:
        return [type(error).__name__, error.migrate_to_chat_id]
    except TelegramAPIError as error:
        return [type(error).__name__]
    return []


async def main(url: str, token: str) -> dict[str, object]:
    """Everything, in turn."""
    async with Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(url))) as bot:
        found: dict[str, object] = {"me": (await bot.get_me()).username}
        sent = await bot.send_message(ANN, "🐝 bees", entities=[MessageEntity(type="bold", offset=0, length=2)])
        found["sent"] = [sent.text, [[one.type, one.offset, one.length] for one in sent.entities or []]]
        edited = await bot.edit_message_text(text="wasps", chat_id=ANN, message_id=sent.message_id)
        found["edited"] = edited.text if isinstance(edited, Message) else None
        found["html"] = (await bot.send_message(ANN, "<b>a &lt; b</b>", parse_mode="HTML")).html_text
        found["draft"] = await bot.send_message_draft(chat_id=ANN, draft_id=3, text="be")
        await bot.set_webhook("https://dao.example/hook", secret_token="secret_1")
        found["webhook"] = (await bot.get_webhook_info()).url
        found["conflict"] = await refused(bot.get_updates())
        await bot.delete_webhook()
        heard: list[str | None] = []
        dispatcher = Dispatcher()

        @dispatcher.message()
        async def answer(message: Message) -> None:
            heard.append(message.text)
            await message.answer(f"re {message.text}")
            if len(heard) == 2:
                await dispatcher.stop_polling()

        await dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False, polling_timeout=1)
        found["heard"] = heard
        found["blocked"] = await refused(bot.send_message(BLOCKED, "?"))
        found["migrated"] = await refused(bot.send_message(OLD_GROUP, "?"))
        found["too long"] = await refused(bot.send_message(ANN, "x" * 4097))
        found["often"] = next(filter(None, [await refused(bot.send_message(77, "?")) for _ in range(9)]))
    return found


sys.stdout.write(json.dumps(asyncio.run(main(*sys.argv[1:]))) + "\n")
