"""One interaction of the scripted Discord, as the member who began it sees it (…/developers/interactions/receiving-and-responding)."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from dagi.testing.discord_rules import EPHEMERAL, DiscordError, Json, check_choices, check_message, check_modal, listed, pings

ANSWER_S: Final = 3.0
TOKEN_S: Final = 15 * 60.0
PING, COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 1, 2, 3, 4, 5
# What each kind of interaction may be answered with.
_ALLOWED: Final = {
    PING: frozenset({1}),
    COMMAND: frozenset({4, 5, 9}),
    COMPONENT: frozenset({4, 5, 6, 7, 9}),
    AUTOCOMPLETE: frozenset({8}),
    MODAL: frozenset({4, 5}),
}
_UPDATES: Final = frozenset({6, 7})


class Shown:
    """A message of the bot.

    Attributes:
        ephemeral: one member alone sees it.
        loading: it says that the bot is thinking.
        states: what it held, from the first to the newest.
        pinged: whom it has woken, as it named them.
        answers: the message it is a reply to; empty for none.
    """

    def __init__(self, number: str, channel: str, *, ephemeral: bool = False, answers: str = "") -> None:
        self.id = number
        self.channel = channel
        self.ephemeral = ephemeral
        self.answers = answers
        self.loading = False
        self.gone = False
        self.states: list[dict[str, Any]] = []
        self.pinged: list[str] = []

    @property
    def content(self) -> str:
        """What it says now; empty while the bot is thinking."""
        return str(self.states[-1].get("content") or "") if self.states else ""

    @property
    def components(self) -> list[Json]:
        """Its buttons and selects, without their rows."""
        rows = listed(self.states[-1], "components", "", 5) if self.states else []
        return [one for row in rows for one in listed(row, "components", "", 5)]

    def change(self, body: Json) -> None:
        """Show this instead; what it does not speak of stays as it is."""
        fields = ("content", "embeds", "components")
        before = self.states[-1] if self.states else {}
        state = {**before, **{name: body[name] for name in fields if name in body}}
        check_message({**body, **state})
        self.states.append(state)
        self.loading = False
        self.pinged += pings(body)

    def find(self, custom_id: str) -> Json:
        """One of its components.

        Raises:
            LookupError: nobody could use it: it is not there, or switched off.
        """
        for one in self.components:
            if one.get("custom_id") == custom_id and not one.get("disabled"):
                return one
        raise LookupError(f"the message has no {custom_id} that could be used, but {[one.get('custom_id') for one in self.components]}")


class Talk:
    """See the module.

    Attributes:
        interaction: as it was delivered.
        began: when, by the server's clock.
        failed: what the member was told instead of an answer; empty while nothing is wrong.
        pong: a ping was answered.
        deferred: it was acknowledged with the promise of an answer.
        modal: the form the member was shown.
        choices: what the member was offered to choose from.
        on: the message whose component was used.
        shown: what the bot said, in order.
    """

    def __init__(self, interaction: Json, began: float, number: Callable[[], str], on: Shown | None = None) -> None:
        self.interaction = interaction
        self.began = began
        self.on = on
        self.failed = ""
        self.pong = False
        self.deferred = False
        self.acknowledged = False
        self.modal: Json | None = None
        self.choices: list[Json] = []
        self.shown: list[Shown] = []
        self._number = number
        self._original: Shown | None = None

    @property
    def kind(self) -> int:
        """The type of the interaction."""
        return int(self.interaction["type"])

    @property
    def original(self) -> Shown:
        """What `@original` is.

        Raises:
            DiscordError: there is nothing like it, or no more.
        """
        if self._original is None:
            raise DiscordError(404, 10015, "Unknown Webhook")
        if self._original.gone:
            raise DiscordError(404, 10008, "Unknown Message")
        return self._original

    @property
    def text(self) -> str:
        """All that the member reads by now."""
        return "\n".join(one.content for one in self.shown if not one.gone)

    @property
    def pinged(self) -> list[str]:
        """Whom it has woken."""
        return [name for one in self.shown for name in one.pinged]

    def take(self, reply: Json) -> None:
        """The first answer.

        Raises:
            DiscordError: it is none, or none to this interaction, or not the first.
        """
        if self.acknowledged:
            raise DiscordError(400, 40060, "Interaction has already been acknowledged.")
        kind, data = reply.get("type"), cast("Json", reply.get("data") or {})
        allowed = _ALLOWED.get(self.kind, frozenset(range(4, 10)))
        if self.kind == MODAL and self.on is not None:
            allowed |= _UPDATES
        if kind not in allowed:
            raise DiscordError(400, 50035, f"Type {kind} is no answer to an interaction of type {self.kind}, but {sorted(allowed)} are.")
        self._taken(int(cast("int", kind)), data)
        self.acknowledged = True

    def _taken(self, kind: int, data: Json) -> None:
        match kind:
            case 1:
                self.pong = True
            case 4:
                self._original = self._say(data)
            case 5:
                self.deferred = True
                self._original = self._new(data)
                self._original.loading = True
                self.shown.append(self._original)
            case 6:
                self.deferred = True
                self._original = self.on
            case 7:
                self._original = self.on
                self.original.change(data)
            case 8:
                check_choices(data)
                self.choices = listed(data, "choices", "data", 25)
            case _:
                check_modal(data)
                self.modal = data

    def follow(self, body: Json) -> Shown:
        """A follow-up; the first one after a deferral is the answer that was promised.

        Raises:
            DiscordError: nothing has been said yet, or this is no message.
        """
        if not self.acknowledged or self.kind == AUTOCOMPLETE:
            raise DiscordError(404, 10015, "Unknown Webhook")
        if self._original is not None and self._original.loading:
            self._original.change(body)
            return self._original
        return self._say(body)

    def find(self, message: str) -> Shown:
        """One of its messages.

        Raises:
            DiscordError: there is none of this name.
        """
        if message == "@original":
            return self.original
        for one in self.shown:
            if one.id == message and not one.gone:
                return one
        raise DiscordError(404, 10008, "Unknown Message")

    def fail(self, why: str) -> None:
        """The member is told that the application did not respond; nothing can be said any more."""
        self.failed = why
        self.acknowledged = False
        self._original = None

    def _new(self, data: Json) -> Shown:
        channel = str(self.interaction.get("channel_id", ""))
        return Shown(self._number(), channel, ephemeral=bool(int(data.get("flags") or 0) & EPHEMERAL))

    def _say(self, data: Json) -> Shown:
        found = self._new(data)
        found.change(data)
        self.shown.append(found)
        return found


def message_object(shown: Shown, author: Mapping[str, Any], timestamp: str) -> dict[str, Any]:
    """See https://docs.discord.com/developers/resources/message#message-object."""
    state = shown.states[-1] if shown.states else {}
    answers = {"message_reference": {"type": 0, "message_id": shown.answers, "channel_id": shown.channel}} if shown.answers else {}
    return {
        "id": shown.id,
        "type": 19 if shown.answers else 0,
        "channel_id": shown.channel,
        "author": author,
        "content": shown.content,
        "embeds": state.get("embeds") or [],
        "components": state.get("components") or [],
        "attachments": [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "pinned": False,
        "tts": False,
        "timestamp": timestamp,
        "edited_timestamp": timestamp if len(shown.states) > 1 else None,
        "flags": (EPHEMERAL if shown.ephemeral else 0) | (128 if shown.loading else 0),
        **answers,
    }
