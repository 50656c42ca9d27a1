"""What is added to a message, and what happens when it cannot be had."""

from contextlib import AbstractContextManager, nullcontext

import pytest

from dagi.errors import StoreError
from dagi.knowledge.grounding import Grounding
from dagi.message import Context, Fact, Grant, Message, Sender, Turn
from dagi.ports.dialogs import Exchange, History
from dagi.rules.rule import EVERYTHING, NOTHING, Wanted
from dagi.testing.facts import MemoryFacts

pytestmark = pytest.mark.anyio

FACT = Fact(id="1", source="about.md", title="About", text="We farm.")
TURNS = (Turn("user", "Hi"), Turn("assistant", "Hello"))
READER = Grant(dao_id="dao", user_id="tg:1", roles=("member",), entitlements=frozenset({"chat.use", "facts.read"}))
STRANGER = Grant(dao_id="dao", user_id="tg:1", roles=("mute",), entitlements=frozenset({"chat.use"}))


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, object]] = []

    def finished(self, exchange: Exchange) -> None:
        del exchange

    def note(self, event: str, **facts: object) -> None:
        self.notes.append((event, facts["part"]))


class Remembering:
    """Dialogs with one history."""

    def __init__(self, error: StoreError | None = None) -> None:
        self._error = error

    def recording(self, exchange: Exchange) -> AbstractContextManager[None]:
        del exchange
        return nullcontext()

    async def saved(self) -> None:
        return None

    async def history(self, message: Message, tokens: int) -> History:
        del message, tokens
        if self._error:
            raise self._error
        return History(TURNS, "They asked before.")


def a_message(prompt: str = "What is this?", session_id: str = "s") -> Message:
    return Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1", session_id=session_id), prompt=prompt)


def grounding(facts: MemoryFacts, dialogs: Remembering | None = None, notes: Notes | None = None) -> Grounding:
    return Grounding(facts, dialogs or Remembering(), notes or Notes(), {"dao": "The DAO"}.__getitem__)


async def test_everything_wanted_is_added() -> None:
    message = await grounding(MemoryFacts(always=(FACT,))).add(a_message(), READER, EVERYTHING)
    assert message.context == Context(dao_name="The DAO", facts=(FACT,), roles=("member",), history=TURNS, summary="They asked before.")
    assert message.prompt == "What is this?"


async def test_nothing_wanted_leaves_the_message_as_it_is() -> None:
    facts, message = MemoryFacts(always=(FACT,)), a_message()
    assert await grounding(facts).add(message, READER, NOTHING) is message
    assert facts.asked == []


async def test_only_what_is_wanted_is_added() -> None:
    message = await grounding(MemoryFacts(always=(FACT,))).add(a_message(), READER, Wanted(roles=True))
    assert message.context == Context(dao_name="The DAO", roles=("member",))


async def test_facts_are_kept_from_whom_may_not_read_them() -> None:
    facts = MemoryFacts(always=(FACT,))
    message = await grounding(facts).add(a_message(), STRANGER, EVERYTHING)
    assert (message.context.facts, facts.asked) == (None, [])


async def test_a_message_outside_a_session_has_no_history() -> None:
    message = await grounding(MemoryFacts()).add(a_message(session_id=""), READER, EVERYTHING)
    assert message.context.history == ()


async def test_an_empty_question_searches_nothing() -> None:
    facts = MemoryFacts(always=(FACT,))
    assert (await grounding(facts).add(a_message(" \n"), READER, EVERYTHING)).context.facts is None
    assert facts.asked == []


async def test_a_store_that_fails_costs_the_context_and_not_the_request() -> None:
    notes, broken = Notes(), StoreError("broken")
    message = await grounding(MemoryFacts(error=broken), Remembering(broken), notes).add(a_message(), READER, EVERYTHING)
    assert message.context == Context(dao_name="The DAO", roles=("member",))
    assert sorted(notes.notes, key=str) == [("context_unavailable", "facts"), ("context_unavailable", "history")]
