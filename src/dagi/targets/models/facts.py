"""Provider `facts`: the DAO's own documents answer, quoted with their source. No model, no network, nothing to set up."""

import re
from collections.abc import AsyncGenerator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from dagi.catalogue import language_of, say
from dagi.catalogue.words import terms, words
from dagi.errors import NotConfigured, StoreError
from dagi.governance.telling import Sought, sought, told
from dagi.message import Fact, Grant, Message, Usage
from dagi.ports.facts import Facts
from dagi.ports.proposals import NO_PROPOSALS, OpenProposals
from dagi.ports.provider import Finding, ProviderTools
from dagi.ports.target import Data, Delta, End, Event, Target, Used
from dagi.targets.models.wire.openai_request import caller_options
from dagi.targets.models.wishes import refuse, refuse_images, refuse_parts

MODEL = "facts"
_LACKING = frozenset(
    {
        "n", "logprobs", "top_logprobs", "logit_bias", "tools", "tool_choice", "functions", "function_call", "response_format",
        "modalities", "audio", "web_search_options",
    }
)  # fmt: skip

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class Settings(BaseModel):
    """What can be configured.

    Attributes:
        passages: how many to quote.
        passage_chars: how much of each; a longer one ends with an ellipsis.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    passages: int = Field(default=3, ge=1, le=10)
    passage_chars: int = Field(default=800, ge=100, le=4000)


class FactsTarget:
    """Quotes the passages closest to the question, and the open proposals it asks for. It never says more than they do: whether they
    answer is for the reader to see.
    """

    def __init__(self, name: str, settings: Settings, facts: Facts, proposals: OpenProposals = NO_PROPOSALS) -> None:
        self._name = name
        self._settings = settings
        self._facts = facts
        self._proposals = proposals

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """Answer with quotations; see the port."""
        if message.purpose:
            raise NotConfigured("The DAO's documents can be quoted; they put nothing into words of their own.", provider=self._name)
        if message.conversation:
            self._refuse_what_is_no_question(message)
        question = message.prompt.strip()
        language = language_of(question)
        facts, how = await self._found(message, grant) if question else ((), {})
        open_now = self._open(message, grant, language)
        asked = sought(question, open_now or ())
        quoted = self._chosen(_together(asked, facts, self._settings.passages))
        if asked.at_all and open_now == ():
            yield Delta(say(language, "proposal.none") + ("\n\n" if quoted else ""))
        elif not quoted:
            yield Delta(say(language, "facts.none" if question else "facts.no_question"))
        if quoted:
            yield Delta(_introduction(language, message, quoted, proposals=asked.first))
            for fact in quoted:
                yield Delta("\n\n" + _quotation(fact, language))
        yield Data({"facts": [{"source": fact.source, "title": fact.title, "text": fact.text} for fact in quoted], **how})
        yield Used(Usage())
        yield End(provider=self._name, model=MODEL)

    def _refuse_what_is_no_question(self, message: Message) -> None:
        refuse(self._name, caller_options(message.options), _LACKING, "it quotes the DAO's documents and is no model")
        refuse_parts(self._name, message.conversation)
        refuse_images(self._name, message.conversation)

    async def _found(self, message: Message, grant: Grant) -> tuple[Sequence[Fact], dict[str, object]]:
        """Passages, and whether they were searched by meaning too, where that is known."""
        if message.context.facts is not None:
            return message.context.facts, {}
        grant.require("facts.read")
        found = await self._facts.search(message.sender.dao_id, message.prompt, self._settings.passages)
        return found.facts, {"semantic": found.semantic}

    def _open(self, message: Message, grant: Grant, language: str) -> Sequence[Fact] | None:
        """What the DAO votes on now; None where the sender may not read it."""
        if message.context.proposals is not None:
            return message.context.proposals
        return told(self._proposals.open(message.sender.dao_id), language) if grant.allows("proposal.read") else None

    def _chosen(self, facts: Sequence[Fact]) -> list[Fact]:
        return [
            Fact(
                id=fact.id,
                source=_line(fact.source),
                title=_line(fact.title),
                text=_shortened(_clean(fact.text), self._settings.passage_chars),
                score=fact.score,
            )
            for fact in facts
        ]


class FactsProvider:
    """See `ports.provider.Provider`."""

    Settings = Settings
    needs_key = False

    def build(self, name: str, settings: Settings, tools: ProviderTools) -> Target:
        """The target that quotes."""
        return FactsTarget(name, settings, tools.facts, tools.proposals)

    async def check(self, name: str, settings: Settings, tools: ProviderTools) -> tuple[Finding, ...]:
        """Whether documents can be searched, and by meaning as well."""
        del name, settings
        try:
            # No DAO has the empty name, so this finds nothing; it shows whether everything answers.
            found = await tools.facts.search("", "greeting", 1)
        except StoreError as error:
            return (Finding(severity="error", what=error.message, fix="Run `dagi doctor`."),)
        if not found.semantic:
            return (
                Finding(
                    severity="warning",
                    what="Documents are searched by words alone: the embedder does not answer.",
                    fix="It runs with the stack (`dagi serve`); where it does not, logs/embedder.log in the data directory says why.",
                ),
            )
        return (Finding(severity="ok", what="Documents are searched by words and by meaning."),)


provider = FactsProvider()


def _together(asked: Sought, facts: Sequence[Fact], passages: int) -> Sequence[Fact]:
    """The documents' passages, and before or after them the open proposals that are asked for."""
    if not asked.first:
        return (*facts[:passages], *asked.facts)
    return (*asked.facts, *facts[: passages - 1])


def _introduction(language: str, message: Message, quoted: Sequence[Fact], *, proposals: bool) -> str:
    if proposals:
        return say(language, "facts.intro_proposals")
    wanted = terms(message.prompt)
    held = {word for fact in quoted for word in words(f"{fact.title} {fact.text}")}
    if not any(term.matches(word) for term in wanted for word in held):
        return say(language, "facts.intro_cautious")
    if message.context.dao_name:
        return say(language, "facts.intro_named", dao=_line(message.context.dao_name))
    return say(language, "facts.intro")


def _quotation(fact: Fact, language: str) -> str:
    lines = [f"**{fact.title}**", "", *fact.text.split("\n")] if fact.title else fact.text.split("\n")
    lines += ["", f"*{say(language, 'facts.source', source=fact.source)}*"]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _clean(text: str) -> str:
    """Documents are data: nothing of them may steer what shows them."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n")).strip()


def _line(text: str) -> str:
    return " ".join(_clean(text).split())


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    cut = text[: longest - 1]
    space = cut.rfind(" ", longest // 2)
    return (cut[:space] if space > 0 else cut).rstrip() + "…"
