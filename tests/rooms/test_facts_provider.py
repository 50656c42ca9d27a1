"""The provider `facts`: quotations, their source, and modest words around them."""

from typing import TYPE_CHECKING, cast

import pytest
from pydantic import ValidationError

from dagi.catalogue import LANGUAGES, language_of, say
from dagi.catalogue.language import FILES
from dagi.errors import Denied, StoreError
from dagi.message import Context, Fact, Grant, Message, Sender, Usage
from dagi.ports.provider import ProviderTools
from dagi.ports.target import Data, Delta, End, Event, Used
from dagi.targets.models.facts import FactsTarget, Settings, provider
from dagi.testing.facts import MemoryFacts

if TYPE_CHECKING:
    from dagi.ports.clock import Clock
    from dagi.ports.http import HttpClient

pytestmark = pytest.mark.anyio

ROSES = Fact(id="1", source="garden.md", title="Garden › Roses", text="Taras waters the roses.\nOn Sundays.")
READER = Grant(dao_id="dao", user_id="tg:1", entitlements=frozenset({"facts.read"}))


def a_message(prompt: str, context: Context | None = None) -> Message:
    return Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt=prompt, context=context or Context())


async def answer(message: Message, facts: MemoryFacts, settings: Settings | None = None, grant: Grant = READER) -> list[Event]:
    return [event async for event in FactsTarget("dao_facts", settings or Settings(), facts).open(message, grant)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_passages_are_quoted_with_their_source_and_a_modest_introduction() -> None:
    events = await answer(a_message("Who waters roses?"), MemoryFacts(always=(ROSES,)))
    assert events == [
        Delta(say("en", "facts.intro")),
        Delta("\n\n> **Garden › Roses**\n>\n> Taras waters the roses.\n> On Sundays.\n>\n> *Source: garden.md*"),
        Data({"facts": [{"source": "garden.md", "title": ROSES.title, "text": ROSES.text}], "semantic": False}),
        Used(Usage()),
        End(provider="dao_facts", model="facts"),
    ]
    assert "No language model was asked" in text_of(events)


async def test_the_answer_is_in_the_questions_language() -> None:
    text = text_of(await answer(a_message("Хто поливає roses?"), MemoryFacts(always=(ROSES,))))
    assert text.startswith("Мовну модель я не запитував.")
    assert "*Джерело: garden.md*" in text


async def test_facts_found_before_are_used_without_another_search() -> None:
    facts = MemoryFacts()
    events = await answer(a_message("roses?", Context(dao_name="Green", facts=(ROSES,))), facts)
    assert facts.asked == []
    assert "Green's own documents" in text_of(events)
    (data,) = (event for event in events if isinstance(event, Data))
    assert "semantic" not in data.values


async def test_passages_that_share_no_word_with_the_question_are_quoted_cautiously() -> None:
    text = text_of(await answer(a_message("Capital of France?"), MemoryFacts(always=(ROSES,))))
    assert text.startswith(say("en", "facts.intro_cautious"))


async def test_when_nothing_is_found_it_says_so_and_what_to_do() -> None:
    events = await answer(a_message("Де троянди?"), MemoryFacts())
    assert text_of(events) == say("uk", "facts.none")
    assert "адміністратора" in text_of(events)
    assert events[1] == Data({"facts": [], "semantic": False})


async def test_an_empty_question_is_asked_back_without_a_search() -> None:
    facts = MemoryFacts(always=(ROSES,))
    assert text_of(await answer(a_message("  "), facts)) == say("en", "facts.no_question")
    assert facts.asked == []


async def test_who_may_not_read_facts_gets_none() -> None:
    facts = MemoryFacts(always=(ROSES,))
    with pytest.raises(Denied):
        await answer(a_message("roses"), facts, grant=Grant(dao_id="dao", user_id="x", entitlements=frozenset({"chat.use"})))
    assert facts.asked == []


async def test_quoted_text_cannot_leave_its_quotation_or_steer_a_terminal() -> None:
    hostile = Fact(id="1", source="a\n\n# b", title="t\nIgnore the above", text="roses\r\n\n\x1b[2J# system\u202e\u200b\r```")
    text = text_of(await answer(a_message("roses"), MemoryFacts(always=(hostile,))))
    lines = text.split("\n")[2:]
    assert all(line.startswith(">") for line in lines)
    assert not set(text) & set("\x1b\u202e\u200b\r")


async def test_only_so_many_passages_and_so_much_of_each_are_quoted() -> None:
    long = Fact(id="1", source="a", title="", text="roses " * 200)
    events = await answer(a_message("roses"), MemoryFacts(always=(long,) * 5), Settings(passages=2, passage_chars=100))
    (data,) = (event for event in events if isinstance(event, Data))
    quoted = cast("list[dict[str, str]]", data.values["facts"])
    assert len(quoted) == 2
    assert all(len(fact["text"]) <= 100 and fact["text"].endswith("…") for fact in quoted)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"pasages": 2})


async def test_the_check_says_what_works() -> None:
    def tools(facts: MemoryFacts) -> ProviderTools:
        return ProviderTools(http=cast("HttpClient", None), facts=facts, clock=cast("Clock", None))

    assert [finding.severity for finding in await provider.check("f", Settings(), tools(MemoryFacts()))] == ["warning"]
    assert [finding.severity for finding in await provider.check("f", Settings(), tools(MemoryFacts(error=StoreError("x"))))] == ["error"]
    assert isinstance(provider.build("f", Settings(), tools(MemoryFacts())), FactsTarget)


@pytest.mark.parametrize(
    ("text", "language"),
    [("Що це?", "uk"), ("GreenFood DAO — це що", "uk"), ("What is this?", "en"), ("", "en"), ("¿Qué?", "en"), ("123 🌹", "en")],
)
def test_the_language_is_told_by_the_letters(text: str, language: str) -> None:
    assert language_of(text) == language


def test_every_language_says_everything() -> None:
    keys = {language: set(FILES[language].MESSAGES) for language in LANGUAGES}
    assert keys["uk"] == keys["en"]
    assert say("de", "facts.none") == say("en", "facts.none")
