"""Interactions of every odd kind: each gets an answer that Discord takes, and none is an error of ours."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from dagi.channels.discord.interactions import Interaction
from dagi.channels.discord.receiving import Reception
from dagi.ports.inbox import Update
from dagi.testing.clock import FakeClock
from dagi.testing.discord_payloads import ANN, CHANNEL, Payloads
from dagi.testing.discord_talk import Talk
from dagi.testing.observer import CollectingObserver

pytestmark = pytest.mark.anyio
MAKE = Payloads(lambda: "1400000000000000001")
DEEP: Any = None
for _ in range(200):
    DEEP = [DEEP]


async def answered(interaction: Mapping[str, Any]) -> tuple[Talk, list[Update]]:
    """What a member sees at once, and what is kept."""
    kept: list[Update] = []

    async def arrived(update: Update) -> None:
        kept.append(update)

    def choose(_interaction: Interaction, typed: str) -> list[tuple[str, str]]:
        return [(typed, typed)]

    reception = Reception("main", arrived, choose, CollectingObserver(), FakeClock())
    talk = Talk(dict(interaction), 0.0, lambda: "1")
    talk.take(msgspec.json.decode(await reception.answer(msgspec.json.encode(interaction))))
    return talk, kept


@pytest.mark.parametrize(
    "odd", [None, 7, "x", [], {"options": 3}, {"options": [{"name": "proposal", "value": None, "focused": True}]}, DEEP]
)
async def test_whatever_is_typed_there_is_a_list_to_choose_from(odd: object) -> None:
    talk, kept = await answered({**MAKE.autocomplete("proposal", "proposal", "a"), "data": odd})
    assert (talk.choices, kept) == ([], [])


@pytest.mark.parametrize(
    "odd",
    [
        {"data": None},
        {"data": {"name": "ask", "options": "none"}},
        {"data": {"name": "ask", "options": [{"name": "question", "value": DEEP}]}},
        {"member": {"user": {"id": 7}}},
        {"channel_id": 7},
        {"locale": 1},
        {"token": None},
        {"type": 2**31},
    ],
)
async def test_what_cannot_be_read_gets_a_sentence_for_whoever_did_it(odd: Mapping[str, object]) -> None:
    talk, kept = await answered({**MAKE.command("ask", question="Hello?"), **odd})
    assert talk.original.ephemeral
    assert talk.text
    assert kept == []


@pytest.mark.parametrize(
    ("odd", "chat"),
    [
        ({"channel_id": "../../users"}, f"/{ANN}"),
        ({"channel_id": "\u0000" * 50}, f"/{ANN}"),
        ({"channel_id": "²"}, f"/{ANN}"),
        ({"channel_id": "9" * 20}, f"{'9' * 20}/{ANN}"),
        ({"member": {"user": {"id": "9" * 5000}}}, f"{CHANNEL}/"),
        ({"member": {"user": {"id": "9" * 20}}, "channel_id": "9" * 20}, "9" * 20),
        ({"message": {"id": "²"}, "type": 3, "data": {"custom_id": "good:1"}}, f"{CHANNEL}/{ANN}"),
    ],
)
async def test_ids_are_digits_or_nobodys(odd: Mapping[str, object], chat: str) -> None:
    talk, (kept,) = await answered({**MAKE.command("ask", question="Hello?"), **odd})
    assert talk.deferred
    assert kept.lane.chat == chat


async def test_what_cannot_be_kept_in_time_is_refused_to_whoever_asked_and_not_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing ever comes of keeping it: without a bound of our own there would be no answer at all.
    monkeypatch.setattr("dagi.channels.discord.receiving.KEEP_S", 0.05)
    observer = CollectingObserver()

    async def arrived(_: Update) -> None:
        await asyncio.Event().wait()

    reception = Reception("main", arrived, lambda _interaction, _typed: (), observer, FakeClock())
    body = b'{"id": "1400000000000000001", "type": 2, "token": "t", "channel_id": "1", "user": {"id": "5"}, "data": {"name": "help"}}'
    answer = json.loads(await reception.answer(body))
    assert (answer["type"], answer["data"]["flags"]) == (4, 64)
    assert "busy" in answer["data"]["content"]
