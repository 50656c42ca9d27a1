"""The chats of the scripted Bot API server: what is in them, who may write there, and what is refused."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from dagi.testing.telegram_rules import BotApiError, bad, caption_of, keyboard_of, text_of

# How long a pressed button waits for its acknowledgement.
_QUERY_S: Final = 15 * 60.0


class Chats:
    """See the module.

    Attributes:
        blocked: chats that have put the bot out, or blocked it.
        migrated: groups that have become supergroups, by their old ids.
        topics: of forums, by chat and number.
        theirs: what people wrote, by chat and number.
        messages: what the bot wrote, by chat and number.
        pressed: buttons somebody pressed and nobody has acknowledged, with when that was.
        last: the number of the newest message, whoever's it is.
    """

    def __init__(self, me: Mapping[str, Any], now: Callable[[], float]) -> None:
        self._me = me
        self._now = now
        self.blocked: set[int] = set()
        self.migrated: dict[int, int] = {}
        self.topics: set[tuple[int, int]] = set()
        self.theirs: set[tuple[int, int]] = set()
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.pressed: dict[str, float] = {}
        self.last = 1000

    def number(self) -> int:
        """A new message's."""
        self.last += 1
        return self.last

    def press(self, query: str) -> None:
        """Somebody pressed a button."""
        self.pressed[query] = self._now()

    def forget(self, chat: int, message: int) -> None:
        """Have a message be gone: nobody can answer or edit it any more."""
        self.messages.pop((chat, message), None)
        self.theirs.discard((chat, message))

    def drafted(self, parameters: Mapping[str, Any]) -> object:
        """sendMessageDraft: in private chats alone, with a number that is not 0."""
        if self.chat(parameters) < 0:
            raise bad("TEXTDRAFT_PEER_INVALID")
        if int(parameters.get("draft_id", 0)) == 0:
            raise bad("draft_id must be non-zero")
        text_of(parameters)
        return True

    def acted(self, parameters: Mapping[str, Any]) -> object:
        """SendChatAction."""
        self._placed(parameters)
        if not parameters.get("action"):
            raise bad("wrong parameter action in request")
        return True

    def acknowledged(self, parameters: Mapping[str, Any]) -> object:
        """answerCallbackQuery: once, and in time."""
        pressed = self.pressed.pop(str(parameters.get("callback_query_id")), None)
        if pressed is None or self._now() - pressed > _QUERY_S:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        if len(str(parameters.get("text", ""))) > 200:
            raise bad("MESSAGE_TOO_LONG")
        return True

    def said(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """SendMessage."""
        place = self._placed(parameters)
        text, entities = text_of(parameters)
        more = {"entities": entities, "reply_markup": keyboard_of(_object(parameters.get("reply_markup")))}
        return self._kept(place, {"text": text, **{name: value for name, value in more.items() if value}})

    def filed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """SendPhoto and sendDocument, of files that are told by name."""
        kind = next((name for name in ("photo", "document") if parameters.get(name)), None)
        if kind is None:
            raise bad("there is no photo or document in the request")
        place = self._placed(parameters)
        caption, entities = caption_of(parameters)
        file = {"file_id": str(parameters[kind]), "file_unique_id": "u"}
        content: dict[str, Any] = {kind: [{**file, "width": 1, "height": 1}] if kind == "photo" else file}
        return self._kept(
            place, {**content, **({"caption": caption} if caption else {}), **({"caption_entities": entities} if entities else {})}
        )

    def _kept(self, place: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        number = self.number()
        message = {"message_id": number, "date": 1_700_000_000, "from": self._me, **place, **content}
        self.messages[place["chat"]["id"], number] = message
        return message

    def _placed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Where a message goes: its chat, its topic, what it answers."""
        chat = self.chat(parameters)
        place: dict[str, Any] = {"chat": chat_object(chat)}
        if topic := int(parameters.get("message_thread_id", 0)):
            if (chat, topic) not in self.topics:
                raise bad("message thread not found")
            place |= {"message_thread_id": topic, "is_topic_message": True}
        reply = _object(parameters.get("reply_parameters"))
        answered = (chat, int(reply.get("message_id", 0)))
        if reply and not reply.get("allow_sending_without_reply") and answered not in self.theirs and answered not in self.messages:
            raise bad("message to be replied not found")
        return place

    def edited(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See editMessageText."""
        found = self._ours(parameters)
        text, entities = text_of(parameters)
        # Without a keyboard of its own the edited message has none any more.
        markup = keyboard_of(_object(parameters.get("reply_markup")))
        if (found.get("text"), found.get("entities", []), found.get("reply_markup", {})) == (text, entities, markup):
            raise bad(
                "message is not modified: specified new message content and reply markup are exactly the same as a current content "
                "and reply markup of the message"
            )
        found |= {"text": text, "entities": entities, "reply_markup": markup, "edit_date": 1_700_000_001}
        return {name: value for name, value in found.items() if value}

    def marked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See editMessageReplyMarkup."""
        found = self._ours(parameters)
        markup = keyboard_of(_object(parameters.get("reply_markup")))
        if found.get("reply_markup", {}) == markup:
            raise bad("message is not modified: specified new message content and reply markup are exactly the same")
        found["reply_markup"] = markup
        return {name: value for name, value in found.items() if value}

    def _ours(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        key = (self.chat(parameters), int(parameters.get("message_id", 0)))
        if key in self.theirs:
            raise bad("message can't be edited")
        if key not in self.messages:
            raise bad("message to edit not found")
        return self.messages[key]

    def chat(self, parameters: Mapping[str, Any]) -> int:
        """The chat that is meant, once it is one that can be written to."""
        try:
            chat = int(parameters["chat_id"])
        except (KeyError, ValueError, TypeError):
            raise bad("chat_id is empty") from None
        if chat in self.blocked:
            kicked = "bot was kicked from the supergroup chat" if chat < 0 else "bot was blocked by the user"
            raise BotApiError(403, f"Forbidden: {kicked}")
        if chat in self.migrated:
            raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=self.migrated[chat])
        return chat


def chat_object(chat: int) -> dict[str, Any]:
    """Negative ids are supergroups."""
    return {"id": chat, "type": "private", "first_name": "Ann"} if chat > 0 else {"id": chat, "type": "supergroup", "title": "Group"}


def _object(value: object) -> dict[str, Any]:
    """An object that may have come as JSON within a form; empty without one."""
    found = json.loads(value) if isinstance(value, str) else value
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
