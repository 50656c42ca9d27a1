"""What members find out about their DAO in Telegram, decide there, and are offered where they say in plain words what they want."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import DAO, Stack, StackFactory
from tests.story.test_telegram import ADMIN, GROUP, channels, deliver, heard, telegram
from tests.story.test_telegram_feedback import keyboard, noticed

from dagi.stores.members import MemberAdmin
from dagi.testing.clock import FakeClock
from dagi.testing.telegram import BotApi
from dagi.testing.upstream import Answer

__all__ = ["telegram"]
pytestmark = pytest.mark.anyio
GUEST = 5150
AUDITED = "SELECT count(*) FROM audit WHERE action = 'proposal.voted'"


async def knows_guest(stack: Stack) -> None:
    """Have the running stack know a guest who has Telegram."""
    database = stack.installation.database()
    await MemberAdmin(database, FakeClock()).create(DAO, f"tg:{GUEST}", ["guest"])
    await database.close()
    assert stack.front is not None
    await stack.front.directory.refresh()


async def proposed(stack: Stack, title: str, *, choices: list[str] | None = None) -> int:
    """A new proposal that is open until tomorrow, known to the running stack."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    wish: dict[str, Any] = {"title": title, "body": "Because of *honey*.", "closes_at": f"{tomorrow:%Y-%m-%dT%H:%M:%SZ}"}
    async with stack.rbac() as rbac:
        made = await rbac.post(f"/daos/{DAO}/proposals", params={"as": ADMIN}, json=wish | ({"choices": choices} if choices else {}))
    assert made.status_code in {200, 201}, made.text
    return int(made.json()["proposal"]["number"])


@pytest.mark.inside
@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_a_member_sees_the_dao_in_numbers_and_a_guest_less_of_it(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("Which projects are there?"))
        await heard(telegram, 1)
        await stack.front.router.ports.dialogs.saved()
        await knows_guest(stack)
        await deliver(stack, telegram.message("/dao"))
        member = (await heard(telegram, 2))[1]
        await deliver(stack, telegram.message("/dao", user=GUEST, language="uk"))
        guest = (await heard(telegram, 3))[2]
    assert member.startswith("GreenFood DAO\n\nGreenFood DAO is a food cooperative")
    assert "Source: about.en.md" in member
    # Those of the demo, and the guest: who is none of them is not counted.
    assert "• Members: 5 (admin: 1, contributor: 1, guest: 2, member: 1)" in member
    assert "• Open for votes: " in member
    assert "• Documents with facts: 12" in member
    assert "• Questions answered in the last 30 days: 1" in member
    assert "продовольчий кооператив" in guest
    assert "• Документів із фактами: 12" in guest
    assert "Учасників" not in guest
    assert "за останні 30 днів" not in guest


async def test_help_offers_questions_that_are_asked_when_they_are_pressed(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("/help", chat=GROUP))
        await heard(telegram, 1)
        message = telegram.chats.last
        buttons = keyboard(telegram, GROUP, message)
        assert list(buttons) == [
            "What GreenFood DAO is",
            "When we meet",
            "How to join",
            "Which projects the DAO has",
            "How much the treasury holds",
        ]
        assert all(len(data.encode()) <= 64 for data in buttons.values())
        stack.upstream.script(Answer(text="Write /join."))
        await deliver(stack, telegram.press(buttons["How to join"], message=message, chat=GROUP))
        assert (await heard(telegram, 2))[1] == "How to join\n\nWrite /join."
        assert stack.upstream.heard[-1].body["messages"][-1]["content"].endswith("How to join")
        # They stay for the others, and what is no question of theirs asks nothing.
        await noticed(telegram, 1)
        assert keyboard(telegram, GROUP, message) == buttons
        await deliver(stack, telegram.press("ask:0123456789abcdef", message=message, chat=GROUP))
        assert (await noticed(telegram, 2)).startswith("This button does nothing")
        await deliver(stack, telegram.message("/help", language="uk"))
        await heard(telegram, 3)
        assert "Як приєднатися" in keyboard(telegram, 12345, telegram.chats.last)
        assert len(stack.upstream.heard) == 1


def only_the_model(settings: dict[str, Any]) -> None:
    """Let nothing answer in its place, and let it take its time."""
    settings["llm_providers"][0]["config"]["timeout_ms"] = 25_000
    settings["routing_rules"][-1].pop("fallback_provider", None)
    settings["routing_rules"][-1]["deadline_ms"] = 30_000


async def test_a_question_that_was_pressed_and_fails_late_leaves_a_sentence_though_the_press_has_had_its_answer(
    start: StackFactory, telegram: BotApi
) -> None:
    async with start(only_the_model, channels=channels(telegram)) as stack:
        await deliver(stack, telegram.message("/help", chat=GROUP))
        await heard(telegram, 1)
        message = telegram.chats.last
        buttons = keyboard(telegram, GROUP, message)
        stack.upstream.script(*[Answer(status=400, hang_after=0)] * 3)
        await deliver(stack, telegram.press(buttons["How to join"], message=message, chat=GROUP))
        await noticed(telegram, 1)
        stack.upstream.release()
        assert "could not" in (await heard(telegram, 2))[1]
        assert keyboard(telegram, GROUP, message) == buttons


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_a_member_looks_at_a_proposal_and_votes_by_button(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        number = await proposed(stack, "Buy **bees**")
        ((before,),) = stack.rows(AUDITED)
        await deliver(stack, telegram.message(f"/proposal #{number}"))
        shown = (await heard(telegram, 1))[0]
        assert shown.startswith(f"#{number} Buy **bees**\nOpen for votes until ")
        assert shown.endswith("Because of *honey*.")
        message = telegram.chats.last
        buttons = keyboard(telegram, 12345, message)
        assert list(buttons) == ["for", "against", "abstain"]
        for choice, place in (("against", 1), ("for", 2)):
            await deliver(stack, telegram.press(buttons[choice], message=message))
            told = f"Your vote on #{number} counts: {choice}. Until it ends you may change it."
            assert await noticed(telegram, place) == told
            await telegram.until(lambda choice=choice: f"{choice} ✓" in keyboard(telegram, 12345, message))
        votes = stack.rows(f"SELECT user_id, choice, entered_by FROM vote WHERE number = {number}")  # noqa: S608 - a number of ours
        assert votes == [("tg:12345", 0, "tg:12345")]
        assert stack.rows(AUDITED) == [(before + 2,)]
        async with stack.rbac() as rbac:
            closed = await rbac.post(f"/daos/{DAO}/proposals/{number}/close", params={"as": ADMIN}, json={"cancel": True})
            assert closed.status_code == 200, closed.text
        await deliver(stack, telegram.press(buttons["for"], message=message))
        assert await noticed(telegram, 3) == f"Voting on #{number} is over; your press changed nothing."
        await deliver(stack, telegram.message(f"/proposal {number}", language="uk"))
        assert "скасовано" in (await heard(telegram, 2))[1]
        assert keyboard(telegram, 12345, telegram.chats.last) == {}


@pytest.mark.inside
async def test_who_may_not_vote_and_what_is_no_proposal_gets_one_sentence(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        number = await proposed(stack, "Where to meet?", choices=["2", "1", "nowhere"])
        await knows_guest(stack)
        await deliver(stack, telegram.message(f"/proposal {number}", chat=GROUP, user=GUEST))
        await heard(telegram, 1)
        assert keyboard(telegram, GROUP, telegram.chats.last) == {}
        await deliver(stack, telegram.message(f"/proposal {number}", chat=GROUP))
        await heard(telegram, 2)
        message = telegram.chats.last
        buttons = keyboard(telegram, GROUP, message)
        for place, (data, user, said) in enumerate(
            (
                (buttons["1"], 12345, f"Your vote on #{number} counts: 1"),
                (buttons["2"], GUEST, "Your role does not allow this (proposal.vote)"),
                ("vote:9999:1", 12345, "There is no proposal #9999 here"),
                (f"vote:{number}:9", 12345, "This button does nothing"),
                ("vote:x:y", 12345, "There is no proposal #0 here"),
            ),
            1,
        ):
            await deliver(stack, telegram.press(data, message=message, chat=GROUP, user=user))
            assert (await noticed(telegram, place)).startswith(said)
        # The second choice, which is called by the first one's number; and a group sees nothing of who voted how.
        votes = stack.rows(f"SELECT user_id, choice FROM vote WHERE number = {number}")  # noqa: S608 - a number of ours
        assert votes == [("tg:12345", 1)]
        assert keyboard(telegram, GROUP, message) == buttons
        assert len(telegram.sent) == 2
        await deliver(stack, telegram.message("/proposal bees"))
        assert (await heard(telegram, 3))[2].startswith("Which one?")


async def test_whoever_says_in_plain_words_what_they_want_is_answered_and_offered_it(start: StackFactory, telegram: BotApi) -> None:
    async with start(channels=channels(telegram)) as stack:
        stack.upstream.script(Answer(text="You are Ann."), Answer(text="Three."))
        await deliver(stack, telegram.message("Хто я?"))
        assert await heard(telegram, 1) == ["You are Ann."]
        message = telegram.chats.last
        buttons = keyboard(telegram, 12345, message)
        assert list(buttons) == ["👍", "👎", "Хто я тут"]
        await deliver(stack, telegram.press(buttons["👍"], message=message))
        await noticed(telegram, 1)
        await deliver(stack, telegram.press(buttons["Хто я тут"], message=message))
        assert (await heard(telegram, 2))[1].startswith("You are `tg:12345`".replace("`", ""))
        await telegram.until(lambda: list(keyboard(telegram, 12345, message)) == ["👍 ✓", "👎", "Хто я тут"])
        await deliver(stack, telegram.message("Which projects are there?"))
        await heard(telegram, 3)
        assert list(keyboard(telegram, 12345, telegram.chats.last)) == ["👍", "👎"]
        await deliver(stack, telegram.press("do:nonsense", message=telegram.chats.last))
        assert (await noticed(telegram, 3)).startswith("This button does nothing")
