"""What groups see of an answer while it is made: begun late, edited sparingly, never left as it is."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
import pytest

from dagi.channels.incoming import Place, Pressed
from dagi.channels.telegram.api import Api
from dagi.channels.telegram.posting import NOTICE_UNITS, parcels, pressed_parcels
from dagi.channels.telegram.sending import Sender
from dagi.channels.telegram.showing import Screen, Showing, message_of
from dagi.channels.telegram.turns import Turns
from dagi.channels.told import Button, Told
from dagi.outbound import Client
from dagi.ports.inbox import Lane
from dagi.ports.target import Delta
from dagi.testing.clock import FakeClock
from dagi.testing.inbox import FakeOutbox, FakePost
from dagi.testing.observer import CollectingObserver
from dagi.testing.telegram import TOKEN, BotApi, BotApiError

pytestmark = pytest.mark.anyio
GROUP = -1001
LANE = Lane("telegram", "main", str(GROUP))
PLACE = Place(chat=str(GROUP), reply_to=7)


class Slow(FakeClock):
    """A clock on which time passes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        """Wait until so much time has passed."""
        event = asyncio.Event()
        self.waiting.append((self.monotonic() + seconds, event))
        await event.wait()

    async def passes(self, seconds: float) -> None:
        """Let time pass, second by second, everybody doing in each what there is to do."""
        for _ in range(int(seconds)):
            self.advance(1.0)
            for one in [one for one in self.waiting if one[0] <= self.monotonic()]:
                self.waiting.remove(one)
                one[1].set()
            async with asyncio.timeout(10):
                while not self.waiting:
                    await asyncio.sleep(0.001)


class Scene:
    """An answer that is made while a group looks on."""

    def __init__(self, telegram: BotApi, client: Client, *, message: int = 0, query: str = "", clock: Slow | None = None) -> None:
        self.clock, self.noted = clock or Slow(), list[str]()
        self.turns = Turns(self.clock)
        self.api = Api(client, telegram.url, TOKEN)
        self.telegram = telegram

        async def note(progress: str) -> None:
            self.noted.append(progress)

        screen = Screen(api=self.api, lane=LANE, place=PLACE, turns=self.turns, note=note, query=query)
        self.showing = Showing(screen, self.clock, draft=1, message=message)
        self.task = asyncio.create_task(self.showing.follow())

    async def start(self) -> None:
        """Let it look for the first time."""
        async with asyncio.timeout(10):
            while not self.clock.waiting:
                await asyncio.sleep(0.001)

    async def says(self, text: str, seconds: float) -> None:
        """More of the answer, and then time."""
        self.showing.hear(Delta(text))
        await self.clock.passes(seconds)

    async def ends(self) -> None:
        """The answer is there."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def seen(self) -> list[tuple[str, str]]:
        """What the group was shown, in order."""
        return [(one.method, one.text) for one in self.telegram.calls if one.method in {"sendMessage", "editMessageText"} and one.accepted]

    async def delivered(self, told: Told, place: Place = PLACE, message: int = 0) -> None:
        """Deliver what is said in the end."""
        post, clock = FakePost(), FakeClock()
        outbox = FakeOutbox(post, clock)
        await outbox.owe(parcels(LANE, place, told, message or self.showing.message))

        async def moved(_lane: Lane, _chat: str) -> None:
            pass

        sender = Sender({"main": self.api}, outbox, CollectingObserver(), clock, Turns(clock), moved)
        while taken := await outbox.take(1):
            await sender.deliver(taken[0])


@pytest.fixture
async def stage() -> AsyncGenerator[tuple[BotApi, Client]]:
    async with BotApi() as telegram, Client() as client:
        telegram.chats.theirs.add((GROUP, 7))
        yield telegram, client


async def test_an_answer_is_begun_after_three_seconds_and_edited_every_three_and_becomes_what_is_said_in_the_end(stage) -> None:
    scene = Scene(*stage)
    await scene.start()
    await scene.says("It is **a cooperative** of", 2)
    assert scene.seen() == []
    await scene.says(" many", 1)
    assert scene.seen() == [("sendMessage", "It is a cooperative of many …")]
    assert scene.noted == [str(scene.showing.message)]
    for word in (" farms", " and", " people"):
        await scene.says(word, 1)
    assert scene.seen()[1:] == [("editMessageText", "It is a cooperative of many farms and people …")]
    await scene.ends()
    await scene.delivered(Told(markdown="It is **a cooperative**.", buttons=(Button("👍", "good:1"),)))
    (message,) = scene.telegram.chats.messages.values()
    assert message["text"] == "It is a cooperative."
    assert [entity["type"] for entity in message["entities"]] == ["bold"]
    assert message["reply_markup"]["inline_keyboard"] == [[{"text": "👍", "callback_data": "good:1"}]]


async def test_what_is_there_within_three_seconds_or_hardly_begun_is_not_shown(stage) -> None:
    scene = Scene(*stage)
    await scene.start()
    await scene.says("Yes.", 5)
    await scene.ends()
    assert scene.showing.message == 0
    await scene.delivered(Told(markdown="Yes."))
    assert scene.seen() == [("sendMessage", "Yes.")]


async def test_a_second_attempt_edits_what_the_first_has_begun_and_a_long_answer_goes_on_below_it(stage) -> None:
    telegram, client = stage
    first = Scene(telegram, client)
    await first.start()
    await first.says("It is a cooperative of many", 3)
    await first.ends()
    again = Scene(telegram, client, message=message_of(first.noted[0]))
    await again.start()
    await again.says("We are a cooperative, and", 3)
    await again.ends()
    assert again.seen()[1:] == [("editMessageText", "We are a cooperative, and …")]
    await again.delivered(Told(markdown="word " * 1200))
    texts = [message["text"] for message in telegram.chats.messages.values()]
    assert [len(text.split()) for text in texts] == [819, 381]


async def test_whoever_is_asked_to_wait_shows_nothing_more_and_the_chat_is_left_alone(stage) -> None:
    telegram, client = stage

    def busy(method: str, _parameters: Mapping[str, Any]) -> None:
        if method == "editMessageText":
            raise BotApiError(429, "Too Many Requests: retry after 30", retry_after=30)

    telegram.failing = busy
    scene = Scene(telegram, client)
    await scene.start()
    for _ in range(40):
        await scene.says("It is a cooperative. ", 1)
    await scene.ends()
    assert len([one for one in telegram.calls if one.method == "editMessageText"]) == 1
    assert len(scene.seen()) == 1


async def test_an_answer_that_somebody_removed_half_way_is_said_anew(stage) -> None:
    telegram, client = stage
    scene = Scene(telegram, client)
    await scene.start()
    await scene.says("It is a cooperative of many", 3)
    await scene.ends()
    telegram.chats.forget(GROUP, scene.showing.message)
    await scene.delivered(Told(markdown="It is a cooperative."))
    (message,) = telegram.chats.messages.values()
    assert message["text"] == "It is a cooperative."
    assert telegram.sent[-1].parameters["reply_parameters"]["message_id"] == 7


async def test_an_answer_that_is_refused_for_one_thing_after_another_is_said_without_all_of_them(stage) -> None:
    telegram, client = stage

    def strict(method: str, parameters: Mapping[str, Any]) -> None:
        if "entities" in parameters:
            raise BotApiError(400, "Bad Request: can't parse entities: too many")
        if method == "editMessageText":
            raise BotApiError(400, "Bad Request: message to edit not found")
        if "message_thread_id" in parameters:
            raise BotApiError(400, "Bad Request: message thread not found")

    telegram.failing = strict
    scene = Scene(telegram, client)
    place = Place(chat=str(GROUP), topic=5, reply_to=7)
    await scene.delivered(Told(markdown="It is **a cooperative**.", buttons=(Button("👍", "good:1"),)), place, 12)
    await scene.ends()
    assert scene.seen() == [("sendMessage", "It is a cooperative.")]
    assert telegram.sent[0].parameters["reply_markup"]


async def test_what_is_under_way_when_the_answer_is_there_arrives_before_it(stage) -> None:
    telegram, client = stage
    scene = Scene(telegram, client)
    await scene.start()
    scene.showing.hear(Delta("It is a cooperative of many"))
    scene.clock.advance(3.0)
    # The message is on its way in the moment the answer ends.
    scene.clock.waiting.pop()[1].set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await scene.ends()
    assert bool(scene.showing.message) == (len(scene.seen()) == 1)


async def test_a_long_answer_is_never_edited_oftener_than_the_group_takes() -> None:
    clock = Slow()
    async with BotApi(clock.monotonic) as telegram, Client() as client:
        telegram.chats.theirs.add((GROUP, 7))
        telegram.limits.on = True
        scene = Scene(telegram, client, clock=clock)
        await scene.start()
        for _ in range(120):
            await scene.says("It is a cooperative. ", 1)
        await scene.ends()
        assert 20 < len(scene.seen()) <= 40
        assert all(one.accepted for one in telegram.calls)


async def test_what_nobody_needs_leaves_a_turn_to_what_is_owed() -> None:
    clock = FakeClock()
    turns = Turns(clock)
    taken = 0
    while turns.spare(LANE):
        taken += 1
        clock.advance(1.0)
    assert taken
    await turns.wait(LANE)
    assert clock.slept == []


async def test_a_chat_that_is_left_alone_for_long_keeps_no_place_from_others(stage) -> None:
    telegram, client = stage
    post, clock = FakePost(), FakeClock()
    turns, outbox = Turns(clock), FakeOutbox(post, clock)
    await outbox.owe(parcels(LANE, PLACE, Told(markdown="It is a cooperative.")))

    async def moved(_lane: Lane, _chat: str) -> None:
        pass

    sender = Sender({"main": Api(client, telegram.url, TOKEN)}, outbox, CollectingObserver(), clock, turns, moved)
    turns.hold(LANE, 600.0)
    (owed,) = await outbox.take(1)
    await sender.deliver(owed)
    assert (clock.slept, telegram.calls, await outbox.take(1)) == ([], [], [])
    clock.advance(600.0)
    (owed,) = await outbox.take(1)
    await sender.deliver(owed)
    assert [one.text for one in telegram.sent] == ["It is a cooperative."]


async def test_a_press_that_takes_long_is_acknowledged_before_its_answer_is_there(stage) -> None:
    telegram, client = stage
    telegram.chats.press("q1")
    scene = Scene(telegram, client, query="q1")
    await scene.start()
    assert telegram.calls == []
    await scene.says("", 2)
    assert [one.method for one in telegram.calls] == ["answerCallbackQuery", "sendChatAction"]
    assert scene.showing.acknowledged
    await scene.ends()


def test_a_notice_is_no_longer_than_it_may_be_and_one_that_follows_something_shown_takes_its_place() -> None:
    pressed = Pressed(place=PLACE, user_id="tg:1", query="q", data="x", message=9)
    (answer,) = pressed_parcels(LANE, pressed, Told(markdown="🐝" * 300, notice=True))
    text = msgspec.json.decode(answer.body)["text"]
    assert NOTICE_UNITS - 2 <= len(text.encode("utf-16-le")) // 2 <= NOTICE_UNITS
    found = pressed_parcels(LANE, pressed, Told(markdown="I am busy.", notice=True), 12)
    assert [(one.method, msgspec.json.decode(one.body).get("message_id")) for one in found] == [
        ("answerCallbackQuery", None),
        ("editMessageText", 12),
    ]


@pytest.mark.parametrize(("chat", "keep", "said"), [(1, False, 1), (1, True, 1), (GROUP, True, 1), (GROUP, False, 0)])
def test_a_notice_that_comes_too_late_is_said_where_no_group_learns_of_somebodys_vote(chat: int, *, keep: bool, said: int) -> None:
    place = Place(chat=str(chat), reply_to=7, private=chat > 0)
    pressed = Pressed(place=place, user_id="tg:1", query="q", data="x", message=9)
    told = Told(markdown="It counts.", notice=True, keep=keep, buttons=(Button("for ✓", "vote:1:1"),))
    found = pressed_parcels(LANE, pressed, told, late=True)
    sent = [msgspec.json.decode(one.body) for one in found if one.method == "sendMessage"]
    assert [one["text"] for one in sent] == ["It counts."] * said
    assert all("reply_markup" not in one for one in sent)
    # What stands below the message that was pressed changes as it would have.
    assert [one.method for one in found[:2]] == ["answerCallbackQuery", "editMessageReplyMarkup"]
