"""What Telegram delivers, read: every kind of update and content of the Bot API, what is none of them, and what nobody would send."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dagi.catalogue import LANGUAGES, say
from dagi.channels.incoming import Heard, Ignored, Incoming, Moved, Pressed
from dagi.channels.telegram.reading import Self, read, unread
from dagi.channels.telegram.updates import chat_of, number_of, update_of

ME = Self(4242424242, "dagi_test_bot")
ANN = {"id": 12345, "is_bot": False, "first_name": "Ann", "language_code": "uk"}
PRIVATE = {"id": 12345, "type": "private", "first_name": "Ann"}
GROUP = {"id": -1001, "type": "supergroup", "title": "Garden", "is_forum": True}
PHOTO = [
    {"file_id": "s", "file_unique_id": "u", "width": 90, "height": 90},
    {"file_id": "l", "file_size": 70000, "width": 800, "height": 800},
]
FILE = {"file_id": "f", "file_unique_id": "u", "duration": 3, "width": 1, "height": 1, "mime_type": "audio/ogg", "file_size": 5}
PLACE = {"latitude": 50.45, "longitude": 30.52}


def message(chat: dict[str, Any] = PRIVATE, **content: object) -> dict[str, Any]:
    return {"message_id": 7, "date": 1_790_000_000, "chat": chat, "from": ANN, **content}


def heard(content: dict[str, Any], *, mention_only: bool = True) -> Heard:
    body = json.dumps({"update_id": 5, **content}).encode()
    assert number_of(body) == 5
    update = update_of(body)
    return unread(str(chat_of(body))) if update is None else read(update, ME, mention_only=mention_only)


TEXT = message(text="Hello?")
MEMBER = {"chat": GROUP, "from": ANN, "date": 1, "old_chat_member": {"status": "member", "user": ANN}}
BOOST = {"boost_id": "b", "add_date": 1, "expiration_date": 2, "source": {"source": "premium", "user": ANN}}
# https://core.telegram.org/bots/api#update: each kind, what is heard, and the chat it belongs to (0 where that is of no use).
KINDS: list[tuple[str, Any, type[Heard], int]] = [
    ("message", TEXT, Incoming, 12345),
    ("edited_message", {**TEXT, "edit_date": 2}, Incoming, 12345),
    ("channel_post", {"message_id": 1, "date": 1, "chat": {"id": -1007, "type": "channel"}, "text": "News"}, Ignored, -1007),
    ("edited_channel_post", {"message_id": 1, "date": 1, "chat": {"id": -1007, "type": "channel"}, "text": "News"}, Ignored, 0),
    ("business_connection", {"id": "c", "user": ANN, "user_chat_id": 12345, "date": 1, "is_enabled": True}, Ignored, 0),
    ("business_message", {**TEXT, "business_connection_id": "c"}, Ignored, 0),
    ("edited_business_message", {**TEXT, "business_connection_id": "c"}, Ignored, 0),
    ("deleted_business_messages", {"business_connection_id": "c", "chat": PRIVATE, "message_ids": [1]}, Ignored, 0),
    ("message_reaction", {"chat": GROUP, "message_id": 7, "user": ANN, "date": 1, "old_reaction": [], "new_reaction": []}, Ignored, 0),
    ("message_reaction_count", {"chat": GROUP, "message_id": 7, "date": 1, "reactions": []}, Ignored, 0),
    ("inline_query", {"id": "i", "from": ANN, "query": "bees", "offset": ""}, Ignored, 0),
    ("chosen_inline_result", {"result_id": "r", "from": ANN, "query": "bees"}, Ignored, 0),
    ("callback_query", {"id": "q", "from": ANN, "chat_instance": "x", "data": "up", "message": message(GROUP, text="?")}, Pressed, -1001),
    ("shipping_query", {"id": "s", "from": ANN, "invoice_payload": "p", "shipping_address": {}}, Ignored, 0),
    ("pre_checkout_query", {"id": "p", "from": ANN, "currency": "XTR", "total_amount": 1, "invoice_payload": "p"}, Ignored, 0),
    ("purchased_paid_media", {"from": ANN, "paid_media_payload": "p"}, Ignored, 0),
    ("poll", {"id": "p", "question": "?", "options": [], "total_voter_count": 0, "is_closed": True}, Ignored, 0),
    ("poll_answer", {"poll_id": "p", "user": ANN, "option_ids": [0]}, Ignored, 0),
    ("my_chat_member", {**MEMBER, "new_chat_member": {"status": "kicked", "user": ANN, "until_date": 0}}, Moved, -1001),
    ("my_chat_member", {**MEMBER, "new_chat_member": {"status": "administrator", "user": ANN}}, Ignored, -1001),
    ("chat_member", {**MEMBER, "new_chat_member": {"status": "left", "user": ANN}}, Ignored, 0),
    ("chat_join_request", {"chat": GROUP, "from": ANN, "user_chat_id": 12345, "date": 1}, Ignored, 0),
    ("chat_boost", {"chat": GROUP, "boost": BOOST}, Ignored, 0),
    ("removed_chat_boost", {"chat": GROUP, "boost_id": "b", "remove_date": 1, "source": BOOST["source"]}, Ignored, 0),
    ("managed_bot", {"user": ANN, "bot": {"id": 9, "is_bot": True, "first_name": "b"}}, Ignored, 0),
    ("telepathy_of_2031", {"chat": GROUP, "thought": "?"}, Ignored, 0),
    ("message_of_2031", "not even an object", Ignored, 0),
]


@pytest.mark.parametrize(("kind", "content", "expected", "chat"), KINDS)
def test_every_kind_of_update_is_read_as_what_it_is(kind: str, content: object, expected: type[Heard], chat: int) -> None:
    assert isinstance(heard({kind: content}), expected)
    assert chat_of(json.dumps({"update_id": 5, kind: content}).encode()) == chat


@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in KINDS}))
@pytest.mark.parametrize("content", [None, 0, "x", [], {}, {"chat": 1}, {"chat": {"id": "x"}}, {"from": {}}, {"message_id": 1, "chat": {}}])
def test_no_kind_of_update_fails_whatever_it_holds(kind: str, content: object) -> None:
    heard({kind: content})
    chat_of(json.dumps({"update_id": 5, kind: content}).encode())


# What a member may send (https://core.telegram.org/bots/api#message), and what is heard of it in a private chat.
CONTENT: list[tuple[dict[str, Any], str]] = [
    ({"photo": PHOTO}, "photo"),
    *[({kind: FILE}, kind) for kind in ("voice", "audio", "video", "video_note", "animation", "sticker", "document")],
    ({"animation": FILE, "document": FILE}, "animation"),
    ({"contact": {"phone_number": "1", "first_name": "Ben"}}, "other"),
    ({"dice": {"emoji": "🎲", "value": 4}}, "other"),
    ({"game": {"title": "g", "description": "d", "photo": PHOTO}}, "other"),
    ({"location": PLACE}, "other"),
    ({"venue": {"location": PLACE, "title": "Garden", "address": "Street"}, "location": PLACE}, "other"),
    ({"poll": {"id": "p", "question": "?", "options": []}}, "other"),
    ({"story": {"chat": PRIVATE, "id": 3}}, "other"),
    ({"checklist": {"title": "c", "tasks": []}}, "other"),
    ({"paid_media": {"star_count": 1, "paid_media": []}}, "other"),
]


@pytest.mark.parametrize(("content", "kind"), CONTENT)
def test_content_without_words_is_told_apart_and_there_is_a_word_for_it_in_every_language(content: dict[str, Any], kind: str) -> None:
    said = heard({"message": message(**content)})
    assert isinstance(said, Incoming)
    assert (said.text, said.unreadable) == ("", kind)
    assert all(say(language, f"channel.kind.{kind}") for language in LANGUAGES)
    # Of an edit of it nobody has to hear again, such as a location that is shared live.
    assert isinstance(heard({"edited_message": message(**content)}), Ignored)
    # And in a group it is for others.
    assert isinstance(heard({"message": message(GROUP, **content)}), Ignored)


@pytest.mark.parametrize("content", [one for one, kind in CONTENT if kind != "other"])
def test_a_caption_is_what_was_said(content: dict[str, Any]) -> None:
    entities = [{"type": "bot_command", "offset": 0, "length": 5}]
    said = heard({"message": message(**content, caption="/help me", caption_entities=entities)})
    assert isinstance(said, Incoming)
    assert (said.command, said.text, said.unreadable, len(said.attachments)) == ("help", "me", "", len(content))


SERVICE = [
    "new_chat_members", "left_chat_member", "new_chat_title", "new_chat_photo", "delete_chat_photo", "group_chat_created",
    "supergroup_chat_created", "channel_chat_created", "message_auto_delete_timer_changed", "pinned_message", "invoice",
    "successful_payment", "refunded_payment", "users_shared", "chat_shared", "gift", "unique_gift", "connected_website",
    "write_access_allowed", "passport_data", "proximity_alert_triggered", "boost_added", "chat_background_set", "checklist_tasks_done",
    "checklist_tasks_added", "direct_message_price_changed", "forum_topic_created", "forum_topic_edited", "forum_topic_closed",
    "forum_topic_reopened", "general_forum_topic_hidden", "general_forum_topic_unhidden", "giveaway_created", "giveaway",
    "giveaway_winners", "giveaway_completed", "paid_message_price_changed", "suggested_post_approved", "suggested_post_declined",
    "video_chat_scheduled", "video_chat_started", "video_chat_ended", "video_chat_participants_invited", "web_app_data", "something_new",
]  # fmt: skip


@pytest.mark.parametrize("kind", SERVICE)
@pytest.mark.parametrize("chat", [PRIVATE, GROUP])
def test_what_telegram_itself_says_in_a_chat_is_not_answered(kind: str, chat: dict[str, Any]) -> None:
    assert isinstance(heard({"message": message(chat, **{kind: {}})}, mention_only=False), Ignored)


def test_a_group_that_becomes_a_supergroup_tells_its_new_id() -> None:
    assert heard({"message": message({"id": -5, "type": "group"}, migrate_to_chat_id=-1005)}) == Moved(chat="-5", to="-1005")
    assert heard({"message": message({"id": -1005, "type": "supergroup"}, migrate_from_chat_id=-5)}) == Moved(chat="-5", to="-1005")


def test_a_button_under_a_message_that_can_no_longer_be_read_is_still_a_button() -> None:
    gone = {"chat": GROUP, "message_id": 7, "date": 0}
    pressed = heard({"callback_query": {"id": "q", "from": ANN, "chat_instance": "x", "data": "up", "message": gone}})
    assert isinstance(pressed, Pressed)
    assert (pressed.user_id, pressed.data, pressed.message, pressed.place.chat) == ("tg:12345", "up", 7, "-1001")


@pytest.mark.parametrize("text", [":) hello", "::", ",", "/ not a command", "//", "/help!", "@someone hi", "a@dagi_test_bot"])
def test_words_that_hold_no_entity_are_what_was_said(text: str) -> None:
    said = heard({"message": message(text=text)})
    assert isinstance(said, Incoming)
    assert (said.command, said.text) == ("", text)


# --- anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["message", "edited_message", "callback_query", "my_chat_member", "chat", "id", "from", "text", "entities", "sender_chat"]
)
HINTED = st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=3), max_size=4), max_size=4)


@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"update_id":1,"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
@example(b'{"update_id":' + b"9" * 5000 + b"}")
@example(b'{"update_id":-1}')
@example(b'{"update_id":9223372036854775808}')
@example(b'{"update_id":1,"message":{"text":"\\ud83d"}}')
def test_a_body_of_anything_has_a_number_or_is_refused_and_never_fails(body: bytes) -> None:
    try:
        number = number_of(body)
    except ValueError:
        return
    assert 0 <= number < 2**63
    assert -(2**63) <= chat_of(body) < 2**63
    if (update := update_of(body)) is not None:
        read(update, ME, mention_only=False)


@given(content=HINTED)
@example({"message": {"message_id": 1, "chat": {"id": 10**60}}})
@example({"message": {"message_id": 10**30, "chat": {"id": 5}, "from": {"id": 10**30}, "text": "?"}})
def test_an_update_of_anything_is_read_and_its_chat_is_one_that_can_be_kept(content: dict[str, Any]) -> None:
    heard(content, mention_only=False)
    assert -(2**63) <= chat_of(json.dumps({"update_id": 5, **content}).encode()) < 2**63


@pytest.mark.parametrize("odd", [{"text": 5}, {"entities": "bold"}, {"photo": {"new": "form"}}, {"reply_to_message": 7}])
def test_of_a_message_in_a_form_nobody_knows_yet_its_person_hears_and_a_group_does_not(odd: dict[str, Any]) -> None:
    told = heard({"message": message(**odd)})
    assert isinstance(told, Incoming)
    assert (told.user_id, told.unreadable, told.place.chat, told.place.private) == ("tg:12345", "other", "12345", True)
    assert heard({"message": message(GROUP, **odd)}, mention_only=False) == Ignored("an update that cannot be read")


def test_a_body_nested_without_end_is_no_update() -> None:
    deep = b'{"message_id":1,"chat":{"id":3},"reply_to_message":' * 50_000 + b"null" + b"}" * 50_000
    body = b'{"update_id":1,"message":' + deep + b"}"
    assert chat_of(body) == 0
    with pytest.raises(ValueError, match="no update"):
        number_of(body)


SPAN = st.integers(-40, 40) | st.sampled_from([2**31, -(2**31), 2**62, -(2**62)])
ENTITY = st.fixed_dictionaries(
    {"type": st.sampled_from(["bot_command", "mention", "text_mention", "bold", "pre", "unheard_of"]), "offset": SPAN, "length": SPAN},
    optional={"user": st.sampled_from([{"id": ME.id, "is_bot": True}, ANN])},
)
WORDS = st.lists(
    st.sampled_from(["/help", "/help@dagi_test_bot", "@dagi_test_bot", "привіт", "😀😀", "a", "👩‍🌾", ",", "?"]), max_size=8
).map(" ".join)


@given(text=WORDS | st.text(max_size=20), entities=st.lists(ENTITY, max_size=4))
@example("help me", [{"type": "bot_command", "offset": 0, "length": -3}])
@example("hello there", [{"type": "bot_command", "offset": 0, "length": 500}])
@example("😀 hello", [{"type": "text_mention", "offset": 0, "length": 1, "user": {"id": ME.id}}])
def test_entities_of_any_place_lose_no_words(text: str, entities: list[dict[str, Any]]) -> None:
    said = heard({"message": message(text=text, entities=entities)}, mention_only=False)
    if not isinstance(said, Incoming):
        return
    units = text.encode("utf-16-le")
    ours = [
        one for one in entities if one["type"] in {"bot_command", "mention", "text_mention"} and one["offset"] >= 0 and one["length"] > 0
    ]
    covered = {at for one in ours for at in range(one["offset"], min(one["offset"] + one["length"], len(units) // 2))}
    kept = b"".join(units[at * 2 : at * 2 + 2] for at in range(len(units) // 2) if at not in covered)
    left = "".join(character for character in kept.decode("utf-16-le", "ignore") if character not in ",:" and not character.isspace())
    rest = iter(said.text)
    assert all(character in rest for character in left)
    assert "\ufffd" not in said.text or "\ufffd" in text
