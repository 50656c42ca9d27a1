"""A Bot API server, or something on the way to it, that says what it should not: nothing of ours ends, hurries or waits for ever."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.conftest import until

from dagi.channels.telegram.api import LONGEST_PAUSE_S, Api, Refusal
from dagi.channels.telegram.polling import Poller
from dagi.channels.telegram.sending import Sender
from dagi.channels.telegram.turns import Turns
from dagi.outbound import Client
from dagi.ports.inbox import Lane, Parcel, Update
from dagi.testing.clock import FakeClock
from dagi.testing.inbox import FakeOutbox, FakePost, KeptParcel
from dagi.testing.observer import CollectingObserver
from dagi.testing.raw_server import raw_server, saying
from dagi.testing.telegram import TOKEN, BotApi

pytestmark = pytest.mark.anyio
LANE = Lane("telegram", "main", "-77")


class Ours:
    """Nobody else fetches."""

    async def take(self, seconds: float) -> bool:
        """Yes."""
        del seconds
        return True

    async def give_back(self) -> None:
        """Nobody waits for it."""


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d Odd\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body


@asynccontextmanager
async def answering(body: bytes, status: int = 200) -> AsyncGenerator[Api]:
    async with raw_server(saying(http(body, status))) as url, Client() as client:
        yield Api(client, url, TOKEN)


def refusal(code: int, **parameters: object) -> bytes:
    return json.dumps({"ok": False, "error_code": code, "description": "no", "parameters": parameters}).encode()


async def attempted(body: bytes, status: int = 200, waited: timedelta = timedelta()) -> tuple[KeptParcel, FakeClock, FakePost]:
    """What becomes of an answer at the first attempt."""
    post, clock = FakePost(), FakeClock()
    outbox = FakeOutbox(post, clock)
    await outbox.owe([Parcel(lane=LANE, method="sendMessage", body=b'{"text":"x"}')])
    clock.set(clock.now() + waited)
    (owed,) = await outbox.take(1)

    async def moved(_lane: Lane, _chat: str) -> None:
        pass

    async with answering(body, status) as api:
        await Sender({"main": api}, outbox, CollectingObserver(), clock, Turns(clock), moved).deliver(owed)
    return post.parcels[0], clock, post


@pytest.mark.parametrize("pause", [1e300, 31_536_000, 1e9])
async def test_no_server_can_have_an_answer_wait_for_longer_than_an_hour(pause: float) -> None:
    kept, clock, _ = await attempted(refusal(429, retry_after=pause), 429)
    assert not kept.settled
    assert kept.due_at == clock.now() + timedelta(seconds=LONGEST_PAUSE_S)


async def test_a_pause_of_less_than_nothing_is_our_own_pause() -> None:
    kept, clock, _ = await attempted(refusal(429, retry_after=-1e300), 429)
    assert kept.due_at > clock.now()


@pytest.mark.parametrize("status", [200, 400, 403, 404, 502])
async def test_a_proxy_that_answers_in_the_servers_place_costs_no_answer(status: int) -> None:
    kept, clock, _ = await attempted(b"<html>Blocked</html>", status)
    assert not kept.settled
    assert kept.due_at > clock.now()


async def test_a_token_that_telegram_does_not_know_costs_no_answer_within_the_hour() -> None:
    kept, _, _ = await attempted(refusal(404), 404)
    assert not kept.settled
    kept, _, _ = await attempted(refusal(404), 404, timedelta(hours=2))
    assert kept.settled


async def test_a_chat_that_is_said_to_have_moved_to_itself_is_not_tried_without_end() -> None:
    kept, _, _ = await attempted(refusal(400, migrate_to_chat_id=-77), 400)
    assert kept.why == "400 no"
    kept, _, _ = await attempted(refusal(400, migrate_to_chat_id=-78), 400, timedelta(hours=2))
    assert kept.settled


@pytest.mark.parametrize("reply", [b"[" * 100_000, b'{"ok":true,"result":' + b"[" * 100_000, b'{"ok":false,"description":"\xff"}', b""])
async def test_a_reply_that_cannot_be_read_is_no_answer(reply: bytes) -> None:
    async with answering(reply) as api:
        with pytest.raises(Refusal, match="no answer of the Bot API"):
            await api.call("getMe")


@pytest.mark.parametrize("result", [b'{"message_id":' + b"9" * 60 + b"}", b'{"message_id":{}}', b'"\xff"', b"true"])
async def test_an_answer_is_delivered_whatever_number_it_is_given(result: bytes) -> None:
    kept, _, _ = await attempted(b'{"ok":true,"result":' + result + b"}")
    assert (kept.settled, kept.message) == (True, "")


async def test_updates_that_are_too_much_for_one_reply_come_in_several() -> None:
    clock, arrived = FakeClock(), list[int]()
    async with BotApi() as telegram, Client() as client:
        # As Telegram writes them, each letter beyond ASCII takes six bytes.
        for _ in range(70):
            telegram.queue(telegram.message("ї" * 4096, quote={"text": "x" * 250_000}))

        async def keep(update: Update) -> None:
            arrived.append(update.number)

        poller = Poller("main", Api(client, telegram.url, TOKEN), CollectingObserver(), clock, Ours(), keep)
        polling = asyncio.create_task(poller.follow())
        await until(lambda: len(arrived) == 70)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
    assert arrived == sorted(set(arrived))


async def test_whoever_is_stopped_in_the_middle_of_sending_notes_what_telegram_took() -> None:
    post, clock = FakePost(), FakeClock()
    outbox = FakeOutbox(post, clock)
    await outbox.owe([Parcel(lane=LANE, method="sendMessage", body=b'{"text":"x"}')])
    (owed,) = await outbox.take(1)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answer.wait()
        writer.write(http(b'{"ok":true,"result":{"message_id":9}}'))
        await writer.drain()

    async def moved(_lane: Lane, _chat: str) -> None:
        pass

    async with raw_server(handle) as url, Client() as client:
        sender = Sender({"main": Api(client, url, TOKEN)}, outbox, CollectingObserver(), clock, Turns(clock), moved)
        delivering = asyncio.create_task(sender.deliver(owed))
        await asked.wait()
        delivering.cancel()
        answer.set()
        await asyncio.gather(delivering, return_exceptions=True)
    assert (post.parcels[0].settled, post.parcels[0].message) == (True, "9")
