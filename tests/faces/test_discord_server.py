"""The scripted Discord is strict where Discord is, and discord.py, which knows the real one, takes it for it."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import discord
import httpx
import pytest
from discord import app_commands
from discord.http import Route
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from dagi.testing.clock import FakeClock
from dagi.testing.discord_api import BOT_TOKEN, DiscordApi, NotTaken
from dagi.testing.discord_delivery import FAULTS, PUBLIC_KEY
from dagi.testing.discord_pace import too_many
from dagi.testing.discord_payloads import APPLICATION_ID, CHANNEL, GUILD
from dagi.testing.discord_talk import Talk
from dagi.testing.upstream_http import Incoming, ScriptedServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> FakeClock:
    """The server's."""
    return FakeClock()


@pytest.fixture
async def api(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[DiscordApi]:
    """The server; discord.py knows no other."""
    async with DiscordApi(clock.monotonic, lambda: clock.now().timestamp()) as server:
        monkeypatch.setattr(Route, "BASE", server.url)
        # Its clock stands still; the client's does not.
        server.pace.on = False
        yield server


@pytest.fixture
async def client(api: DiscordApi) -> AsyncGenerator[discord.Client]:
    """A client of discord.py that has logged in."""
    async with discord.Client(intents=discord.Intents.none()) as found:
        await found.login(BOT_TOKEN)
        yield found


def read(client: discord.Client, payload: Mapping[str, Any]) -> discord.Interaction:
    """An interaction as discord.py reads it."""
    return discord.Interaction(data=cast("Any", payload), state=client._connection)  # noqa: SLF001 - they come over its gateway alone


def told(client: discord.Client, api: DiscordApi, payload: Mapping[str, Any]) -> tuple[Talk, discord.Interaction]:
    """The same, and what its member sees."""
    return api.open(payload), read(client, payload)


# --- discord.py


async def test_a_client_logs_in_and_knows_its_application(api: DiscordApi, client: discord.Client) -> None:
    assert client.user is not None
    assert (client.user.id, client.user.name, client.user.bot) == (int(APPLICATION_ID), "dagi", True)
    assert (await client.application_info()).name == "DAGI of tests"
    async with discord.Client(intents=discord.Intents.none()) as other:
        with pytest.raises(discord.LoginFailure):
            await other.login("a.b.wrong")
    assert api.pace.invalid == 1


async def test_a_client_registers_commands_everywhere_and_in_a_guild(api: DiscordApi, client: discord.Client) -> None:
    tree = app_commands.CommandTree(client)

    @tree.command(description="Ask the DAO")
    @app_commands.describe(question="What you would like to know")
    @app_commands.allowed_contexts(guilds=True, dms=True)
    async def ask(interaction: discord.Interaction, question: app_commands.Range[str, 1, 2000]) -> None: ...

    @tree.context_menu(name="Ask about this")
    async def about(interaction: discord.Interaction, message: discord.Message) -> None: ...

    assert [one.name for one in await tree.sync()] == ["ask", "Ask about this"]
    (first, _) = await tree.fetch_commands()
    assert (first.description, first.allowed_contexts is not None) == ("Ask the DAO", True)
    guild = discord.Object(int(GUILD))
    assert await tree.fetch_commands(guild=guild) == []
    tree.copy_global_to(guild=guild)
    assert len(await tree.sync(guild=guild)) == 2
    again = await tree.sync()
    assert [one.id for one in again if one.name == "ask"] == [first.id]
    assert api.commands.names(GUILD) == ["ask", "Ask about this"]


async def test_a_client_is_told_which_command_is_none(client: discord.Client) -> None:
    tree = app_commands.CommandTree(client)

    @tree.command(description="x" * 100)
    async def ask(interaction: discord.Interaction, one: str = "", two: str = "") -> None: ...

    ask.description = "x" * 101
    ask._params["two"].required = True  # noqa: SLF001 - it would put them in order
    with pytest.raises(app_commands.CommandSyncFailure, match="Must be between 1 and 100 in length") as failed:
        await tree.sync()
    assert failed.value.code == 50035
    ask.description = "fine"
    with pytest.raises(app_commands.CommandSyncFailure, match="Required options must be placed before"):
        await tree.sync()


async def test_a_deferred_answer_is_edited_followed_and_taken_away(api: DiscordApi, client: discord.Client) -> None:
    talk, interaction = told(client, api, api.make.command("ask", question="Who?", locale="uk"))
    assert (interaction.locale, interaction.user.display_name) == (discord.Locale.ukrainian, "Ann")
    with pytest.raises(discord.NotFound) as early:
        await interaction.edit_original_response(content="too early")
    assert early.value.code == 10015
    await interaction.response.defer(ephemeral=True, thinking=True)
    assert (talk.original.loading, talk.original.ephemeral, talk.text) == (True, True, "")
    edited = await interaction.edit_original_response(content="@everyone is here", allowed_mentions=discord.AllowedMentions.none())
    assert (edited.content, talk.text, talk.pinged) == ("@everyone is here", "@everyone is here", [])
    more = await interaction.followup.send("<@987654321098765432>, and more", ephemeral=True, wait=True)
    assert (talk.pinged, talk.shown[1].ephemeral) == (["<@987654321098765432>"], True)
    assert (await more.edit(content="and less")).content == "and less"
    assert (await interaction.original_response()).content == "@everyone is here"
    await interaction.delete_original_response()
    assert talk.text == "and less"
    with pytest.raises(discord.NotFound) as gone:
        await interaction.edit_original_response(content="again")
    assert gone.value.code == 10008


async def test_the_first_follow_up_of_a_deferral_is_the_answer(api: DiscordApi, client: discord.Client) -> None:
    talk, interaction = told(client, api, api.make.command("ask", question="Who?", guild=""))
    assert interaction.guild_id is None
    await interaction.response.defer(thinking=True)
    await interaction.followup.send("Ann", ephemeral=True)
    assert [(one.content, one.ephemeral) for one in talk.shown] == [("Ann", False)]


async def test_an_interaction_is_answered_once_and_in_time(api: DiscordApi, client: discord.Client, clock: FakeClock) -> None:
    talk, interaction = told(client, api, api.make.command("help"))
    await interaction.response.send_message("I answer questions.")
    assert interaction.response.is_done()
    second = read(client, talk.interaction)
    with pytest.raises(discord.HTTPException) as twice:
        await second.response.send_message("I answer questions.")
    assert twice.value.code == 40060
    clock.advance(15 * 60 + 1)
    with pytest.raises(discord.HTTPException) as expired:
        await interaction.edit_original_response(content="late")
    assert (expired.value.status, expired.value.code) == (401, 50027)
    _, late = told(client, api, api.make.command("help"))
    clock.advance(3.1)
    with pytest.raises(discord.NotFound) as unknown:
        await late.response.send_message("late")
    assert unknown.value.code == 10062


class Asking(discord.ui.Modal):
    """A form of discord.py's."""

    words = discord.ui.TextInput[Any](label="What is on your mind?", custom_id="words", max_length=20)


async def test_buttons_selects_and_forms_are_used_as_they_were_made(api: DiscordApi, client: discord.Client) -> None:
    view = discord.ui.View()
    view.add_item(discord.ui.Button[Any](label="Yes", custom_id="yes"))
    view.add_item(discord.ui.Button[Any](label="No", custom_id="no", disabled=True))
    view.add_item(discord.ui.Select[Any](custom_id="which", options=[discord.SelectOption(label="Bees", value="b")], row=1))
    talk, interaction = told(client, api, api.make.command("proposal", proposal="7"))
    await interaction.response.send_message("Sure?", view=view)
    shown = talk.original
    with pytest.raises(LookupError):
        api.make.press(shown, "no")
    pressed, button = told(client, api, api.make.press(shown, "yes"))
    assert (button.type, button.data and button.data.get("custom_id")) == (discord.InteractionType.component, "yes")
    await button.response.send_modal(Asking(title="Feedback", custom_id="feedback"))
    with pytest.raises(LookupError):
        api.make.submit(pressed, {"words": "x" * 21})
    _, form = told(client, api, api.make.submit(pressed, {"words": "More bees"}))
    with pytest.raises(discord.HTTPException, match="no answer to an interaction of type 5"):
        await form.response.send_modal(Asking(title="Feedback", custom_id="feedback"))
    form = read(client, api.talks[-1].interaction)
    await form.response.edit_message(content="Thanks", view=None)
    assert (shown.content, shown.components) == ("Thanks", [])


async def test_values_are_completed(api: DiscordApi, client: discord.Client) -> None:
    talk, interaction = told(client, api, api.make.autocomplete("proposal", "proposal", "be"))
    assert interaction.type is discord.InteractionType.autocomplete
    await interaction.response.autocomplete([app_commands.Choice(name="Bees", value="7")])
    assert talk.choices == [{"name": "Bees", "value": "7"}]
    with pytest.raises(discord.NotFound):
        await interaction.followup.send("no")


async def test_messages_in_channels(api: DiscordApi, client: discord.Client) -> None:
    channel = client.get_partial_messageable(int(CHANNEL))
    question = channel.get_partial_message(int(api.channels.heard()))
    async with channel.typing():
        sent = await channel.send("@here: bees", reference=question, allowed_mentions=discord.AllowedMentions.none())
    assert api.channels.typing == [CHANNEL]
    found = api.channels.shown[str(sent.id)]
    assert (found.pinged, found.answers) == ([], str(question.id))
    assert (await sent.edit(content="wasps")).content == "wasps"
    await channel.send("wasps", reference=question)
    assert [one.pinged for one in api.channels.shown.values()] == [[], ["author"]]
    api.channels.closed.add("15")
    with pytest.raises(discord.Forbidden, match="Missing Access"):
        await client.get_partial_messageable(15).send("?")
    with pytest.raises(discord.NotFound):
        await client.get_partial_messageable(16).send("?")
    with pytest.raises(discord.HTTPException, match="Must be between 0 and 2000|2000 or fewer"):
        await channel.send("x" * 2001)
    with pytest.raises(discord.HTTPException, match="Cannot send an empty message"):
        await channel.send(" ")
    with pytest.raises(discord.HTTPException, match="Unknown message"):
        await channel.send("?", reference=channel.get_partial_message(17))


async def test_a_client_waits_as_long_as_it_is_told_to(api: DiscordApi, client: discord.Client) -> None:
    trouble = [too_many(0.01, bucket="channel-bucket"), too_many(0.01, everywhere=True)]

    def slowed(_method: str, _path: str) -> None:
        if trouble:
            raise trouble.pop()

    api.failing = slowed
    channel = client.get_partial_messageable(int(CHANNEL))
    await channel.send("at last")
    assert [call.status for call in api.calls][-3:] == [429, 429, 200]
    assert api.pace.invalid == 2


# --- what it takes


async def said(api: DiscordApi, method: str, path: str, body: object, **headers: str) -> httpx.Response:
    """What the server says to a request of the bot."""
    common = {"Authorization": f"Bot {BOT_TOKEN}", "User-Agent": "DiscordBot (https://x.example, 1)"}
    async with httpx.AsyncClient() as http:
        return await http.request(method, api.url + path, json=body, headers={**common, **headers})


async def refusal(api: DiscordApi, method: str, path: str, body: object) -> str:
    """How the server calls what is wrong; empty where nothing is."""
    answer = await said(api, method, path, body)
    if answer.is_success:
        return ""
    found = answer.json()
    assert (answer.status_code, found["code"]) == (400, 50035)
    while "_errors" not in found:
        found = found["errors"] if "errors" in found else next(iter(found.values()))
    return str(found["_errors"][0]["code"])


LINK = {"type": 2, "style": 5, "label": "x", "url": "https://x.example"}


def button(**more: object) -> dict[str, object]:
    """A button that is right, but for what is named."""
    return {"type": 2, "style": 1, "label": "x", "custom_id": "x", **more}


def rows(*inside: object) -> dict[str, object]:
    """A message with a row of these."""
    return {"content": "x", "components": [{"type": 1, "components": list(inside)}]}


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"content": "x" * 2000, "allowed_mentions": {"parse": []}}, ""),
        ({"content": "🐝" * 1001}, "BASE_TYPE_BAD_LENGTH"),
        ({"content": 7}, "STRING_TYPE_CONVERT"),
        ({"content": "x", "allowed_mentions": {"parse": ["all"]}}, "BASE_TYPE_CHOICES"),
        ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"),
        ({"embeds": [{"description": "x" * 4096}] * 2}, "MAX_EMBED_SIZE_EXCEEDED"),
        ({"embeds": [{"title": "x"}] * 11}, "BASE_TYPE_BAD_LENGTH"),
        (rows(LINK, button()), ""),
        (rows(button(custom_id="x" * 101)), "BASE_TYPE_BAD_LENGTH"),
        (rows(button(), button()), "COMPONENT_CUSTOM_ID_DUPLICATED"),
        (rows(button(label="")), "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED"),
        (rows(*[LINK] * 6), "BASE_TYPE_BAD_LENGTH"),
        (rows({"type": 3, "custom_id": "s", "options": [{"label": "x", "value": str(one)} for one in range(26)]}), "BASE_TYPE_BAD_LENGTH"),
        (rows({"type": 3, "custom_id": "s", "options": [{"label": "x", "value": "1"}] * 2}), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"),
        (rows({"type": 5, "custom_id": "s"}, button()), "COMPONENT_LAYOUT_WIDTH_EXCEEDED"),
        (rows({"type": 4, "custom_id": "s", "style": 1}), "UNION_TYPE_CHOICES"),
        ({"content": "x", "components": [{"type": 1, "components": [LINK]}] * 6}, "BASE_TYPE_BAD_LENGTH"),
    ],
)
async def test_messages_have_a_form(api: DiscordApi, body: Mapping[str, object], refused: str) -> None:
    assert await refusal(api, "POST", f"/channels/{CHANNEL}/messages", body) == refused


def command(*options: Mapping[str, object], **more: object) -> dict[str, object]:
    """A command that is right, but for what is named."""
    return {"name": "ask", "description": "Ask", "options": list(options), **more}


def option(**more: object) -> dict[str, object]:
    """An option that is right, but for what is named."""
    return {"type": 3, "name": "x", "description": "x", **more}


@pytest.mark.parametrize(
    ("one", "refused"),
    [
        (command(option(required=True, max_length=6000), option(name="y", autocomplete=True)), ""),
        (command(name="запит", description_localizations={"uk": "Запитати"}), ""),
        (command(name="Ask"), "APPLICATION_COMMAND_INVALID_NAME"),
        (command(name="a sk"), "APPLICATION_COMMAND_INVALID_NAME"),
        (command(name="x" * 33), "BASE_TYPE_BAD_LENGTH"),
        (command(description=""), "BASE_TYPE_BAD_LENGTH"),
        (command(description_localizations={"en": "Ask"}), "DICT_TYPE_INVALID_KEYS"),
        (command(description_localizations={"uk": "x" * 101}), "BASE_TYPE_BAD_LENGTH"),
        (command(option(), option(name="y", required=True)), "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID"),
        (command(option(), option()), "APPLICATION_COMMAND_OPTIONS_NAME_INVALID"),
        (command(option(max_length=6001)), "NUMBER_TYPE_RANGE"),
        (command(option(type=5, autocomplete=True)), "APPLICATION_COMMAND_AUTOCOMPLETE_INVALID"),
        (command(option(type=12)), "BASE_TYPE_CHOICES"),
        (command(*[option(name=str(one)) for one in range(26)]), "BASE_TYPE_BAD_LENGTH"),
        (command(contexts=[3]), "BASE_TYPE_CHOICES"),
    ],
)
async def test_commands_have_a_form(api: DiscordApi, one: Mapping[str, object], refused: str) -> None:
    for path in (f"/applications/{APPLICATION_ID}/commands", f"/applications/{APPLICATION_ID}/guilds/{GUILD}/commands"):
        assert await refusal(api, "PUT", path, [one]) == refused


async def test_commands_are_counted_and_told_with_their_translations_to_those_who_ask(api: DiscordApi) -> None:
    path = f"/applications/{APPLICATION_ID}/commands"
    found = [command(name=f"a{one}", description_localizations={"uk": "Запитати"}) for one in range(101)]
    assert await refusal(api, "PUT", path, [command(), command()]) == "APPLICATION_COMMANDS_DUPLICATE_NAME"
    assert (await said(api, "PUT", path, found)).json()["code"] == 30032
    assert (await said(api, "PUT", path, found[:1])).status_code == 200
    assert "description_localizations" not in (await said(api, "GET", path, None)).json()[0]
    (told,) = (await said(api, "GET", f"{path}?with_localizations=true", None)).json()
    assert told["description_localizations"] == {"uk": "Запитати"}


async def test_requests_say_who_they_are_and_that_they_are_json(api: DiscordApi) -> None:
    path = f"/channels/{CHANNEL}/messages"
    assert (await said(api, "POST", path, {"content": "x"}, **{"User-Agent": "curl"})).status_code == 403
    assert (await said(api, "POST", path, {"content": "x"}, Authorization=BOT_TOKEN)).json() == {"message": "401: Unauthorized", "code": 0}
    assert (await said(api, "POST", path, {"content": "x"}, **{"Content-Type": "text/plain"})).json()["code"] == 50035
    assert (await said(api, "POST", path, ["x"])).json()["code"] == 50035
    assert (await said(api, "POST", "/nowhere", {})).status_code == 404
    assert (await said(api, "DELETE", path, {})).status_code == 405
    answer = await said(api, "GET", "/users/@me", None)
    assert (answer.headers["content-type"], api.pace.invalid) == ("application/json", 2)


async def test_a_message_with_the_number_of_an_earlier_one_is_that_one(api: DiscordApi) -> None:
    path, body = f"/channels/{CHANNEL}/messages", {"content": "once", "nonce": "77", "enforce_nonce": True}
    first, second = [(await said(api, "POST", path, body)).json()["id"] for _ in range(2)]
    assert (first, len(api.channels.shown)) == (second, 1)
    assert (await said(api, "POST", path, {"content": "x", "nonce": "x" * 26})).status_code == 400


async def test_it_keeps_the_pace_of_each_token_and_channel_and_of_the_bot(api: DiscordApi, clock: FakeClock) -> None:
    api.pace.on = True
    talk = api.open(api.make.command("help"))
    talk.take({"type": 4, "data": {"content": "x"}})
    path = f"/webhooks/{APPLICATION_ID}/{talk.interaction['token']}/messages/@original"
    left = [(await said(api, "PATCH", path, {"content": "x"})).headers["X-RateLimit-Remaining"] for _ in range(5)]
    assert left == ["4", "3", "2", "1", "0"]
    clock.advance(0.5)
    answer = await said(api, "PATCH", path, {"content": "x"})
    assert (answer.status_code, answer.json()) == (429, {"message": "You are being rate limited.", "retry_after": 1.5, "global": False})
    assert [answer.headers[name] for name in ("Retry-After", "X-RateLimit-Reset-After", "X-RateLimit-Scope")] == ["2", "1.500", "user"]
    clock.advance(1.5)
    assert (await said(api, "PATCH", path, {"content": "x"})).status_code == 200
    statuses = [(await said(api, "GET", "/users/@me", None)).status_code for _ in range(51)]
    assert statuses == [200] * 50 + [429]
    # What is done with an interaction's token does not count against the bot.
    assert (await said(api, "PATCH", path, {"content": "x"})).status_code == 200


# --- what it delivers


class Endpoint(ScriptedServer):
    """Ours, in the place of the gateway; it checks signatures as PyNaCl's documentation does.

    Attributes:
        reply: what it answers.
        slow_s: how long that takes by the server's clock.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(self._reply)
        self.reply: object = {"type": 1}
        self.slow_s = 0.0
        self.careless = False
        self._clock = clock

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/discord/webhook"

    async def _reply(self, incoming: Incoming) -> None:
        self._clock.advance(self.slow_s)
        good = self.careless or self._good(incoming)
        incoming.send(200 if good else 401, {"Content-Type": "application/json"}, json.dumps(self.reply).encode() if good else b"{}")

    def _good(self, incoming: Incoming) -> bool:
        at, signature = (incoming.headers.get(f"x-signature-{name}", "") for name in ("timestamp", "ed25519"))
        try:
            VerifyKey(bytes.fromhex(PUBLIC_KEY)).verify(at.encode() + incoming.body, bytes.fromhex(signature))
            return abs(int(at) - self._clock.now().timestamp()) < 300
        except (BadSignatureError, ValueError):
            return False


@pytest.fixture
async def endpoint(clock: FakeClock) -> AsyncGenerator[Endpoint]:
    """It."""
    async with Endpoint(clock) as server:
        yield server


async def test_what_it_delivers_is_signed_and_can_be_signed_badly(api: DiscordApi, endpoint: Endpoint) -> None:
    assert (await api.deliver(endpoint.url, api.make.ping())).pong
    endpoint.reply = {"type": 4, "data": {"content": "Вітаю", "flags": 64}}
    talk = await api.deliver(endpoint.url, api.make.command("help", locale="uk"))
    assert (talk.text, talk.original.ephemeral) == ("Вітаю", True)
    for fault in FAULTS:
        with pytest.raises(NotTaken) as refused:
            await api.deliver(endpoint.url, api.make.ping(), fault)
        assert refused.value.status == 401, fault


async def test_an_endpoint_is_saved_if_it_checks_signatures(api: DiscordApi, endpoint: Endpoint) -> None:
    change = {"interactions_endpoint_url": "https://dao.example/discord/webhook"}
    assert await refusal(api, "PATCH", "/applications/@me", change) == "APPLICATION_INTERACTIONS_ENDPOINT_URL_INVALID"
    api.hosts["dao.example"] = endpoint.url.removesuffix("/discord/webhook")
    endpoint.careless = True
    assert await refusal(api, "PATCH", "/applications/@me", change) == "APPLICATION_INTERACTIONS_ENDPOINT_URL_INVALID"
    endpoint.careless = False
    assert (await said(api, "PATCH", "/applications/@me", change)).json()["interactions_endpoint_url"] == api.endpoint
    assert api.endpoint == "https://dao.example/discord/webhook"


@pytest.mark.parametrize(
    ("kind", "reply", "refused"),
    [
        ("command", {"type": 1}, "type 2"),
        ("command", {"type": 6}, "type 2"),
        ("command", {"type": 8, "data": {"choices": []}}, "type 2"),
        ("command", {"type": 4, "data": {"content": ""}}, "empty message"),
        ("command", {"type": 9, "data": {"custom_id": "x", "title": "x", "components": []}}, "between 1 and 5"),
        (
            "command",
            {"type": 9, "data": {"custom_id": "x", "title": "x", "components": [{"type": 1, "components": [button()]}]}},
            "label|type",
        ),
        ("command", ["no object"], "Only dictionaries"),
        ("command", {"type": 4, "data": ["x"]}, "cannot be read"),
        ("autocomplete", {"type": 4, "data": {"content": "x"}}, "type 4"),
        ("autocomplete", {"type": 8, "data": {"choices": [{"name": "x", "value": "x"}] * 26}}, "between 0 and 25"),
        ("autocomplete", {"type": 8, "data": {"choices": [{"name": "", "value": "x"}]}}, "between 1 and 100"),
        ("ping", {"type": 4, "data": {"content": "x"}}, "type 1"),
        ("future", {"type": 1}, "type 99"),
    ],
)
async def test_an_answer_has_to_fit_the_interaction(api: DiscordApi, endpoint: Endpoint, kind: str, reply: object, refused: str) -> None:
    made = {"command": ("help",), "autocomplete": ("proposal", "proposal", "be")}
    endpoint.reply = reply
    with pytest.raises(NotTaken, match=refused):
        await api.deliver(endpoint.url, getattr(api.make, kind)(*made.get(kind, ())))
    assert api.talks[-1].failed


async def test_an_answer_after_three_seconds_is_none_and_what_follows_has_no_place(
    api: DiscordApi, endpoint: Endpoint, clock: FakeClock
) -> None:
    endpoint.reply, endpoint.slow_s = {"type": 5}, 3.1
    with pytest.raises(NotTaken, match="three seconds"):
        await api.deliver(endpoint.url, api.make.command("help"))
    path = f"/webhooks/{APPLICATION_ID}/{api.talks[-1].interaction['token']}"
    assert (await said(api, "PATCH", f"{path}/messages/@original", {"content": "x"})).json()["code"] == 10015
    assert (await said(api, "POST", path, {"content": "x"})).json()["code"] == 10015
    clock.advance(1)
    with pytest.raises(NotTaken, match="no answer"):
        await api.deliver("http://127.0.0.1:9/discord/webhook", api.make.ping())
