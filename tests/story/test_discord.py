"""Members talk to their DAO in Discord: the whole stack, and a scripted Discord in the real one's place."""

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import cast

import httpx
import pytest
from tests.conftest import DAO, Stack, StackFactory, until

from dagi.channels.conversation import COMMANDS
from dagi.channels.discord.setup import commands
from dagi.stores.daos import Daos
from dagi.stores.members import MemberAdmin
from dagi.testing.clock import FakeClock
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi, NotTaken
from dagi.testing.discord_delivery import FAULTS, PUBLIC_KEY, Fault
from dagi.testing.discord_gateway import DiscordGateway
from dagi.testing.discord_payloads import ANN, APPLICATION_ID, CHANNEL, GUILD
from dagi.testing.discord_rules import DiscordError
from dagi.testing.discord_talk import Talk
from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio

BOB = "876543210987654321"
OTHER_GUILD = "1200000000000000002"


class Hours:
    """A clock that stands still until a test moves it on."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        """Seconds since some time."""
        return self.passed


@pytest.fixture
def hours() -> Hours:
    """Discord's clock."""
    return Hours()


@pytest.fixture
async def discord(monkeypatch: pytest.MonkeyPatch, hours: Hours) -> AsyncGenerator[DiscordApi]:
    """Discord's servers; the stack's application is theirs."""
    monkeypatch.setenv("DISCORD_BOT_TOKEN", BOT_TOKEN)
    async with DiscordApi(now=hours.now) as api:
        yield api


def channels(discord: DiscordApi, **application: object) -> dict[str, object]:
    """The configuration of one application."""
    settings = {
        "name": "main",
        "dao_id": DAO,
        "application_id": APPLICATION_ID,
        "public_key": PUBLIC_KEY,
        "bot_token_env": "DISCORD_BOT_TOKEN",
        **application,
    }
    return {"discord": {"api_base_url": discord.url, "applications": [settings]}}


async def joined(stack: Stack, dao: str = DAO, user: str = ANN, *, role: str = "member") -> None:
    """Somebody of Discord is a member from now on."""
    database = stack.installation.database()
    if dao != DAO:
        await Daos(database, FakeClock()).create(dao, dao)
    await MemberAdmin(database, FakeClock()).create(dao, f"dc:{user}", [role])
    await database.close()
    if stack.front is not None:
        await stack.front.directory.refresh()


async def proposed(stack: Stack, title: str) -> int:
    """A proposal that is open until tomorrow; gives its number."""
    wish = {"title": title, "closes_at": f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}
    async with stack.rbac() as rbac:
        made = await rbac.post(f"/daos/{DAO}/proposals", params={"as": "tg:admin001"}, json=wish)
    assert made.is_success, made.text
    return int(made.json()["proposal"]["number"])


async def offered(stack: Stack, discord: DiscordApi, text: str) -> Talk:
    """What is offered to somebody who types; once the stack knows the proposals, which takes it a moment."""
    async with asyncio.timeout(15):
        while True:
            typed = await discord.deliver(stack.gateway_url + "/discord/webhook", discord.make.autocomplete("proposal", "proposal", text))
            if len(typed.choices) > 1:
                return typed


async def delivered(stack: Stack, discord: DiscordApi, interaction: dict[str, object], path: str = "/discord/webhook") -> Talk:
    """An interaction, and what came of it once nobody is thinking any more."""
    talk = await discord.deliver(stack.gateway_url + path, interaction)
    await discord.until(lambda: talk.text and not any(one.loading for one in talk.shown))
    return talk


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_a_member_who_asks_is_promised_an_answer_and_gets_it_as_discord_renders_it(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="**Two** projects @everyone <@1>:\n\n1. `seeds`\n2. bees_and_hives 🐝"))
        talk = await delivered(stack, discord, discord.make.command("ask", question="Which projects are there?"))
        await until(lambda: stack.rows("SELECT count(*) FROM exchange") == [(1,)])
        exchanges = stack.rows("SELECT user_id, source, session_id FROM exchange")
    assert talk.deferred
    assert not talk.original.ephemeral
    assert talk.text == "**Two** projects @everyone \\<@1\\>:\n\n1. `seeds`\n2. bees\\_and\\_hives 🐝"
    assert talk.pinged == []
    assert exchanges == [(f"dc:{ANN}", "discord", f"dc:{CHANNEL}:{DAO}")]


async def test_a_further_question_knows_the_conversation_of_the_channel(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="Seeds."), Answer(text="Olena."))
        await delivered(stack, discord, discord.make.command("ask", question="Which project is the oldest?"))
        await delivered(stack, discord, discord.make.command("ask", question="Who leads it?"))
        asked = cast("list[dict[str, str]]", stack.upstream.heard[-1].body["messages"])
    assert [one["content"] for one in asked if one["role"] == "assistant"] == ["Seeds."]


async def test_a_long_answer_comes_whole_in_several_messages_with_its_code_in_fences(start: StackFactory, discord: DiscordApi) -> None:
    lines = [f"print('line {number} of *many*')" for number in range(150)]
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="Here it is:\n\n```py\n" + "\n".join(lines) + "\n```\n\nThat is all."))
        interaction = discord.make.command("ask", question="Write it out")
        talk = await discord.deliver(stack.gateway_url + "/discord/webhook", interaction)
        await discord.until(lambda: talk.text.endswith("That is all."))
    assert len(talk.shown) > 2
    for one in talk.shown:
        assert one.content.count("```") % 2 == 0
    for line in lines:
        assert line in talk.text


@pytest.mark.parametrize(("guild", "ephemeral"), [(GUILD, True), ("", True)])
async def test_who_i_am_is_for_my_eyes_alone_and_in_my_language(
    start: StackFactory, discord: DiscordApi, guild: str, ephemeral: bool
) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        talk = await delivered(stack, discord, discord.make.command("whoami", locale="uk", guild=guild))
    assert talk.original.ephemeral is ephemeral
    assert f"`dc:{ANN}`" in talk.text
    assert "Ваші ролі: member" in talk.text


async def test_with_the_bot_alone_answers_stay_and_what_says_thank_you_goes(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="Because."))
        talk = await delivered(stack, discord, discord.make.command("ask", question="Why?", guild=""))
        good = str(talk.original.components[0]["custom_id"])
        thanked = await delivered(stack, discord, discord.make.press(talk.original, good, guild=""))
        among_friends = discord.make.command("ask", question="Why?", guild="") | {"context": 2}
        hidden = await discord.deliver(stack.gateway_url + "/discord/webhook", among_friends)
    assert [talk.original.ephemeral, thanked.original.ephemeral, hidden.original.ephemeral] == [False, True, True]


async def test_help_names_the_commands_that_discord_offers(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        talk = await delivered(stack, discord, discord.make.command("help", locale="uk"))
    named = re.findall(r"^• (/\w+):", talk.text, re.MULTILINE)
    assert named == [f"/{one['name']}" for one in commands(COMMANDS)]


async def test_a_stranger_is_told_how_to_become_a_member(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        talk = await delivered(stack, discord, discord.make.command("ask", question="What is this DAO?"))
        assert stack.upstream.heard == []
    assert f"dc:{ANN}" in talk.text


async def test_a_server_with_a_dao_of_its_own_asks_that_one_and_private_messages_the_applications(
    start: StackFactory, discord: DiscordApi
) -> None:
    async with start(channels=channels(discord, guilds={OTHER_GUILD: {"dao_id": "bees-dao"}})) as stack:
        await joined(stack, "bees-dao", BOB)
        await joined(stack, DAO, ANN)
        stack.upstream.script(*(Answer(text="Yes.") for _ in range(5)))
        asked = [(ANN, GUILD), (ANN, OTHER_GUILD), (BOB, OTHER_GUILD), (BOB, ""), (ANN, "")]
        told = [
            (await delivered(stack, discord, discord.make.command("ask", question="Are you there?", user=user, guild=guild))).text
            for user, guild in asked
        ]
    assert [text == "Yes." for text in told] == [True, False, True, False, True]


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_discord_has_not_signed_is_refused_and_nothing_is_kept(start: StackFactory, discord: DiscordApi, fault: Fault) -> None:
    async with start(channels=channels(discord)) as stack:
        url = stack.gateway_url + "/discord/webhook"
        for interaction in (discord.make.ping(), discord.make.command("ask", question="Hello?")):
            with pytest.raises(NotTaken) as refused:
                await discord.deliver(url, interaction, fault)
            assert refused.value.status == 401
        assert stack.rows("SELECT count(*) FROM inbox") == [(0,)]


async def test_an_endpoint_can_be_saved_at_discord(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        discord.hosts["dao.example"] = stack.gateway_url
        for path in ("/discord/webhook", "/discord/webhook/main"):
            await discord.save("https://dao.example" + path)
            assert discord.endpoint.endswith(path)
        with pytest.raises(DiscordError):
            await discord.save("https://dao.example/discord/webhook/other")


async def test_a_signed_body_that_is_no_interaction_is_an_error_that_says_so(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        for odd in ({}, {"id": "x", "type": 2}, {"id": "99999999999999999999", "type": 2}, {"id": "1", "type": "2"}):
            with pytest.raises(NotTaken) as refused:
                await discord.deliver(stack.gateway_url + "/discord/webhook", {**discord.make.ping(), "id": None, "type": 0, **odd})
            assert refused.value.status == 400
            assert b"interaction" in refused.value.body


async def test_an_interaction_that_comes_twice_is_answered_once(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="Once."))
        interaction = discord.make.command("ask", question="How often?")
        await delivered(stack, discord, interaction)
        again = await discord.deliver(stack.gateway_url + "/discord/webhook", interaction)
        await delivered(stack, discord, discord.make.command("help"))
        assert len(stack.upstream.heard) == 1
    assert again.deferred


@pytest.mark.parametrize("kind", [7, 99])
async def test_an_interaction_of_the_future_gets_a_sentence(start: StackFactory, discord: DiscordApi, kind: int) -> None:
    async with start(channels=channels(discord)) as stack:
        talk = await delivered(stack, discord, discord.make.future(kind, data={"name": ["odd"]}, locale="uk"))
    assert talk.text == "Я не знаю, що це. Напишіть /ask і своє запитання."
    assert talk.original.ephemeral


async def test_a_thumb_below_an_answer_is_kept_with_it_and_thanked_for_in_private(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="Because."))
        talk = await delivered(stack, discord, discord.make.command("ask", question="Why?"))
        good = str(talk.original.components[0]["custom_id"])
        thanked = await delivered(stack, discord, discord.make.press(talk.original, good))
        (rated,) = stack.rows("SELECT user_id, value FROM feedback")
    assert rated == (f"dc:{ANN}", 1)
    assert thanked.original.ephemeral
    assert thanked.text.startswith("Thank you!")


async def test_feedback_in_words_is_asked_for_in_a_form_and_kept_with_the_last_answer(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="Because."))
        await delivered(stack, discord, discord.make.command("ask", question="Why?"))
        form = await discord.deliver(stack.gateway_url + "/discord/webhook", discord.make.command("feedback", locale="uk"))
        assert form.modal is not None
        thanked = await delivered(stack, discord, discord.make.submit(form, {"words": "Too short an answer."}))
        comments = stack.rows("SELECT comment FROM feedback")
    assert comments == [("Too short an answer.",)]
    assert thanked.original.ephemeral


async def test_a_proposal_is_found_while_it_is_typed_chosen_from_a_menu_and_voted_on(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        await joined(stack, user=BOB, role="guest")
        orchard, _, hedges = [await proposed(stack, title) for title in ("Plant an orchard", "Buy a press", "Plant hedges")]
        typed = await offered(stack, discord, "pla")
        strangers = discord.make.autocomplete("proposal", "proposal", "", user="123456789012345678")
        nothing = await discord.deliver(stack.gateway_url + "/discord/webhook", strangers)
        listed = await delivered(stack, discord, discord.make.command("proposal"))
        (menu,) = listed.original.components
        chosen = await delivered(stack, discord, discord.make.press(listed.original, str(menu["custom_id"]), [f"do:proposal:{orchard}"]))
        vote = str(chosen.original.components[0]["custom_id"])
        voted = await delivered(stack, discord, discord.make.press(chosen.original, vote))
        votes = stack.rows("SELECT number, count(*) FROM vote GROUP BY number")
        guests = await delivered(stack, discord, discord.make.command("proposal", user=BOB, proposal=str(orchard)))
    assert {(one["name"], one["value"]) for one in typed.choices} == {
        (f"#{orchard} Plant an orchard", str(orchard)),
        (f"#{hedges} Plant hedges", str(hedges)),
    }
    assert nothing.choices == []
    assert "Buy a press" in listed.text
    assert chosen.original.ephemeral
    assert f"Your vote on #{orchard} counts" in voted.text
    assert (orchard, 1) in votes
    assert "Plant an orchard" in guests.text
    assert guests.original.components == []


async def test_an_answer_after_the_fifteen_minutes_comes_into_the_channel_and_names_who_asked(
    start: StackFactory, discord: DiscordApi, hours: Hours
) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        asked = discord.make.command("ask", question="Are you slow?")
        stack.upstream.script(Answer(text="Very *slow*.", latency_s=0.3))
        talk = await discord.deliver(stack.gateway_url + "/discord/webhook", asked)
        hours.passed += 16 * 60
        await discord.until(lambda: discord.channels.shown)
    (late,) = discord.channels.shown.values()
    assert late.content == f"<@{ANN}>\nVery *slow*."
    assert late.pinged == [f"<@{ANN}>"]
    assert talk.text == ""


async def test_a_server_that_wants_to_be_left_alone_gets_the_answer_later(start: StackFactory, discord: DiscordApi) -> None:
    refusals = [429, 500, 503]

    def failing(method: str, _path: str) -> None:
        if method == "PATCH" and refusals:
            status = refusals.pop()
            raise DiscordError(status, 0, "not now", retry_after=0.05)

    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="At last."))
        discord.failing = failing
        talk = await delivered(stack, discord, discord.make.command("ask", question="When?"))
    assert talk.text == "At last."
    assert refusals == []


async def test_whoever_asks_while_nothing_can_be_kept_hears_so_at_once(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack:
        await joined(stack)
        async with stack.unwritable():
            talk = await discord.deliver(stack.gateway_url + "/discord/webhook", discord.make.command("ask", question="Hello?"))
    assert not talk.deferred
    assert talk.text
    assert talk.original.ephemeral


async def test_whoever_mentions_the_bot_is_answered_below_their_words_where_it_listens(start: StackFactory, discord: DiscordApi) -> None:
    private = "1400000000000000007"
    async with DiscordGateway(discord) as gateway, start(channels=channels(discord, mentions=True)) as stack:
        await joined(stack)
        stack.upstream.script(Answer(text="Seeds **and** bees."), Answer(text="On Mondays."))
        await gateway.until(lambda: gateway.connected)
        gateway.say("Not for the bot.")
        asked = gateway.say(f"<@{APPLICATION_ID}> which projects are there?")
        await discord.until(lambda: len(discord.channels.shown) == 1)
        gateway.say("When do we meet?", guild="", channel=private)
        await discord.until(lambda: len(discord.channels.shown) == 2)
        gateway.say("/whoami", guild="", channel=private)
        await discord.until(lambda: len(discord.channels.shown) == 3)
        prompts = [str(cast("list[dict[str, str]]", heard.body["messages"])[-1]["content"]) for heard in stack.upstream.heard]
    replied, met, who = discord.channels.shown.values()
    assert (replied.content, replied.channel, replied.answers) == ("Seeds **and** bees.", CHANNEL, asked["id"])
    assert (met.content, met.channel, met.answers) == ("On Mondays.", private, "")
    assert f"dc:{ANN}" in who.content
    assert [prompt.splitlines()[-1] for prompt in prompts] == ["which projects are there?", "When do we meet?"]
    assert [one.pinged for one in (replied, met, who)] == [[], [], []]
    assert set(discord.channels.typing) == {CHANNEL, private}


async def test_the_webhook_takes_posts_alone_and_names_applications(start: StackFactory, discord: DiscordApi) -> None:
    async with start(channels=channels(discord)) as stack, httpx.AsyncClient(base_url=stack.gateway_url) as http:
        assert (await http.get("/discord/webhook")).status_code == 405
        assert (await http.post("/discord/webhook/nobody", content=b"{}")).status_code == 404
        assert (await http.post("/discord/webhook", content=b"")).status_code == 401
