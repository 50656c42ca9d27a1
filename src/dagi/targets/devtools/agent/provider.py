"""Provider `devtools_agent`: answers by working in a workspace. A rule chooses it, for example by `agent: devtools`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from dagi.catalogue import language_of, say
from dagi.errors import CannotDo, DagiError, NotConfigured, ProviderUnavailable, UnknownModel
from dagi.message import Grant, Message
from dagi.ports.provider import Finding, ProviderTools
from dagi.ports.target import Chain, Data, Delta, End, Event, Step, Target
from dagi.targets.devtools.agent.work import Answered, Bounds, Helpers, Work

MODEL: Final = "devtools-agent"
# How many events are kept for a caller who takes them slowly.
_AHEAD: Final = 10_000


class Settings(BaseModel):
    """What can be configured.

    Attributes:
        models: the providers that are asked, in this order; models that can call tools.
        max_steps: answers of the model for one request.
        max_tokens: of all of them together.
        max_seconds: for all of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    models: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=10)]
    max_steps: int = Field(default=20, ge=1, le=200)
    max_tokens: int = Field(default=200_000, ge=1_000, le=100_000_000)
    max_seconds: float = Field(default=300.0, gt=0, le=86_400)


class AgentTarget:
    """Works for one message at a time, many at once."""

    def __init__(self, name: str, settings: Settings, tools: ProviderTools) -> None:
        self._name = name
        self._settings = settings
        self._tools = tools
        self._bounds = Bounds(steps=settings.max_steps, tokens=settings.max_tokens, seconds=settings.max_seconds)

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See the port. Each step is told while it is taken; closing it brings what was written to its branch and ends."""
        helpers = self._helpers(message, grant)
        grant.require("devtools.read")
        told: asyncio.Queue[Event | None] = asyncio.Queue()

        def tell(event: Event) -> None:
            # A caller who takes them slowly is not told all steps: those that count are in the answer.
            if not isinstance(event, Step) or (message.streamed and told.qsize() < _AHEAD):
                told.put_nowait(event)

        work = asyncio.ensure_future(Work(message, helpers, self._bounds, tell).do())
        work.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (event := await told.get()) is not None:
                yield event
            answer = work.result()
        finally:
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError, DagiError):
                    await work
        yield Delta(spoken(answer, message))
        yield Data(data_of(answer))
        asked = answer.end
        finish = "stop" if answer.stopped is None else "length"
        # What it cost is what the model cost, so it is the model's name that prices it.
        yield End(provider=asked.provider if asked else self._name, model=asked.model if asked else MODEL, finish_reason=finish)

    def _helpers(self, message: Message, grant: Grant) -> Helpers:
        tools = self._tools
        if message.purpose or message.mode != "chat":
            raise CannotDo("It works for people who ask in mode chat, and for nobody else.", provider=self._name, field="mode")
        if tools.devtools is None or tools.chain is None:
            raise NotConfigured("The developer tools are not set up here.", provider=self._name, detail="devtools.enabled is false")
        if not tools.devtools.tools():
            sentence = "The developer tools do not answer just now. Try again shortly."
            raise ProviderUnavailable(sentence, provider=self._name, detail="their service has not told yet which tools it has")
        rights = tools.rights
        return Helpers(
            tools=tools.devtools,
            chain=self._chain(),
            clock=tools.clock,
            rights=(lambda: grant) if rights is None else (lambda: rights(message.sender)),
        )

    def _chain(self) -> Chain:
        names = self._settings.models
        try:
            if self._tools.chain is None or self._name in names:
                raise UnknownModel("It cannot ask itself.")
            return self._tools.chain(names)
        except UnknownModel as error:
            detail = f"`models` of {self._name} has to name providers that are configured: {', '.join(names)}"
            raise NotConfigured("The devtools agent has no model to work with.", provider=self._name, detail=detail) from error

    async def check(self) -> tuple[Finding, ...]:
        """Whether it has a model and tools. Without a router around it neither can be asked for."""
        if self._tools.chain is None:
            models = ", ".join(self._settings.models)
            return (Finding(severity="ok", what=f"Works with {models} and the developer tools; see the lines about them."),)
        if self._tools.devtools is None:
            what = "There are no developer tools here, so the agent cannot work."
            return (Finding(severity="warning", what=what, fix="Set devtools.enabled."),)
        try:
            self._chain()
        except NotConfigured as error:
            return (Finding(severity="error", what=error.message, fix=f"{error.detail}."),)
        return (Finding(severity="ok", what=f"It works with {', '.join(self._settings.models)}."),)


def spoken(answer: Answered, message: Message) -> str:
    """What the member reads: the model's words, the steps, why it stopped, and where the changes are."""
    language = language_of(message.prompt)
    parts = [answer.text.strip()] if answer.text.strip() and answer.stopped is None else []
    if answer.stopped is not None:
        key = f"agent.stopped_{answer.stopped}" if answer.stopped in {"steps", "tokens", "time"} else "agent.stopped"
        parts.append(say(language, key, why=answer.why))
    if answer.taken:
        lines = [f"- {'✓' if step.outcome == 'ok' else '✗'} {step.said}" for step in answer.taken]
        parts.append("\n".join([say(language, "agent.steps"), "", *lines]))
    if answer.changes is not None:
        files = answer.changes.get("files")
        count = len(files) if isinstance(files, list | tuple) else 0
        branch = str(answer.changes["branch"])
        parts.append(say(language, "agent.changes", branch=branch, files=str(count), workspace=str(answer.changes["workspace"])))
        cut = "\n…" if answer.diff_cut else ""
        parts.append(f"````diff\n{answer.diff.replace('````', '` ` ` `').rstrip()}{cut}\n````")
    return "\n\n".join(parts) or say(language, "agent.nothing")


def data_of(answer: Answered) -> dict[str, object]:
    """The same for programs. `approve` is the order that takes the changes over, for whoever may commit."""
    data: dict[str, object] = {"steps": msgspec.to_builtins(answer.taken), "stopped": answer.stopped}
    if answer.changes is not None:
        merge = {"workspace": answer.changes["workspace"], "action": "merge", "name": answer.changes["branch"]}
        data |= {"changes": dict(answer.changes), "diff": answer.diff, "diff_cut": answer.diff_cut}
        data["approve"] = {"tool": "git_branch", "params": merge}
    return data


class AgentProvider:
    """See `ports.provider.Provider`."""

    Settings = Settings
    needs_key = False

    def build(self, name: str, settings: Settings, tools: ProviderTools) -> Target:
        """The target that works."""
        return AgentTarget(name, settings, tools)

    async def check(self, name: str, settings: Settings, tools: ProviderTools) -> tuple[Finding, ...]:
        """Whether it has what it needs; its models are checked as providers of their own."""
        return await AgentTarget(name, settings, tools).check()


provider = AgentProvider()
