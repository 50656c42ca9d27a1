"""Provider `any_llm`: vendors that do not speak OpenAI's protocol, through the package any-llm-sdk. Needs the extra `any_llm`.

The package is imported with the first question and in a thread, because that takes seconds and eighty megabytes. What it answers goes
through the same codec as every answer in OpenAI's form.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from dagi.errors import NotConfigured, ProviderError
from dagi.message import Grant, Message
from dagi.ports.hearing import told
from dagi.ports.http import HttpFailure
from dagi.ports.provider import Finding, ProviderTools
from dagi.ports.target import CONTENT, Delta, Ear, End, Event, Failure, Thought, ToolCall, Used
from dagi.targets.models.compose import compose
from dagi.targets.models.failures import Failures
from dagi.targets.models.settings import BaseUrl
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.openai_chat import ChatDecoder, decode_answer
from dagi.targets.models.wire.openai_frames import loose
from dagi.targets.models.wire.openai_request import caller_options
from dagi.targets.models.wire.openai_turns import plain
from dagi.targets.models.wishes import refuse, refuse_images, refuse_parts

PACKAGE = "any_llm"
INSTALL = "pip install 'dagi-stack[any_llm]'"
_CALLERS = frozenset(
    {
        "temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "tools", "tool_choice", "parallel_tool_calls",
        "response_format", "reasoning_effort", "user",
    }
)  # fmt: skip
_LACKING = frozenset(
    {"n", "logprobs", "top_logprobs", "logit_bias", "functions", "function_call", "modalities", "audio", "web_search_options"}
)
# What its exceptions are called, where they hold no HTTP status: the status and code they stand for.
_KINDS = {
    "AuthenticationError": (401, ""),
    "InsufficientFundsError": (402, "insufficient_balance"),
    "ModelNotFoundError": (404, ""),
    "RateLimitError": (429, ""),
    "ContextLengthExceededError": (400, "context_length_exceeded"),
    "InvalidRequestError": (400, ""),
    "UnsupportedParameterError": (400, ""),
    "ContentFilterError": (400, ""),
    "GatewayTimeoutError": (504, ""),
    "UpstreamProviderError": (502, ""),
}


class AnyLlmSettings(BaseModel):
    """What can be configured.

    Attributes:
        vendor: as any-llm names it, for example `anthropic`, `gemini`, `mistral`, `cohere`, `bedrock`.
        base_url: the vendor's own where left out.
        max_tokens: length of the answer, where the caller sets none; Anthropic's models need a limit.
        vision: the model sees images.
        reasoning_effort: how much a reasoning model thinks; None leaves it to the vendor.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    vendor: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    model: str = Field(min_length=1)
    base_url: BaseUrl | None = None
    max_tokens: int = Field(default=1024, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    vision: bool = False
    reasoning_effort: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None


class _Unusable(Exception):
    """The vendor cannot be asked as things are; says why."""


class _Spoken(Protocol):
    """An answer of the package, or a piece of one."""

    def model_dump_json(self, *, warnings: bool) -> str: ...


class _Vendor(Protocol):
    """The package's client for one vendor."""

    async def acompletion(self, model: str, messages: list[dict[str, object]], **parameters: Any) -> Any: ...  # noqa: ANN401


class AnyLlm:
    """The provider; satisfies `dagi.ports.provider.Provider`."""

    Settings = AnyLlmSettings
    needs_key = False

    def missing(self, settings: AnyLlmSettings) -> str:
        """See `dagi.ports.provider.Lacking`."""
        del settings
        return "" if find_spec(PACKAGE) else f"the package any-llm-sdk is not installed: {INSTALL}"

    def build(self, name: str, settings: AnyLlmSettings, tools: ProviderTools) -> "AnyLlmTarget":
        """The target that answers under this name."""
        return AnyLlmTarget(name, settings, tools)

    async def check(self, name: str, settings: AnyLlmSettings, tools: ProviderTools) -> tuple[Finding, ...]:
        """Whether the package knows the vendor and has what that needs. The vendor itself is not asked."""
        if self.missing(settings):
            return (Finding(severity="error", what=f"{name} cannot be asked: the package any-llm-sdk is not installed.", fix=INSTALL),)
        try:
            await AnyLlmTarget(name, settings, tools).vendor()
        except NotConfigured as error:
            return (Finding(severity="error", what=error.detail, fix="Correct vendor and its key, or install what it needs."),)
        return (Finding(severity="ok", what=f"{name} can ask {settings.vendor}; whether it answers was not tried."),)


class AnyLlmTarget:
    """One model of a vendor."""

    def __init__(self, name: str, settings: AnyLlmSettings, tools: ProviderTools) -> None:
        self._name = name
        self._settings = settings
        self._api_key = tools.api_key
        self._failures = Failures(provider=name, api_key=tools.api_key, now=tools.clock.now)
        self._client: asyncio.Future[_Vendor] | None = None

    async def vendor(self) -> _Vendor:
        """The client; made by the first who asks, and for all who ask.

        Raises:
            NotConfigured: the vendor is unknown, or lacks a package or a key.
        """
        if self._client is None or (self._client.done() and self._client.exception() is not None):
            self._client = asyncio.ensure_future(asyncio.to_thread(self._made))
        try:
            return await asyncio.shield(self._client)
        except _Unusable as error:
            detail = f"{self._name} cannot ask {self._settings.vendor}: {error}."
            raise NotConfigured(f"{self._name} is not configured.", provider=self._name, detail=detail) from error

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`."""
        del grant
        begun = False
        try:
            async with aclosing(self._events(message)) as events:
                async for event in events:
                    begun = begun or isinstance(event, CONTENT)
                    yield event
            return
        except ProviderError as failure:
            error = failure
        if not begun:
            raise error
        yield Failure(error)

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`."""
        if message.streamed:
            await told(self, message, grant, ear)
            return
        vendor, asked = await self.vendor(), self._asked(message)
        try:
            answer = cast("_Spoken", await vendor.acompletion(**asked, stream=False))
            for event in decode_answer(_json(answer), self._name, self._settings.model):
                ear.hear(_ours(event))
        except _package_errors() as error:
            raise self._failure(error, asked, message) from error
        except WireError as mistake:
            raise self._failures.unusable(mistake) from mistake

    async def aclose(self) -> None:
        """Close the client's connections."""
        if self._client is None or not self._client.done() or self._client.exception() is not None:
            return
        close = getattr(getattr(self._client.result(), "client", None), "close", None)
        if close is not None:
            closing = close()
            if asyncio.iscoroutine(closing):
                await closing

    async def _events(self, message: Message) -> AsyncGenerator[Event]:
        vendor, asked = await self.vendor(), self._asked(message)
        decoder = ChatDecoder(self._name, self._settings.model)
        try:
            stream = cast("AsyncGenerator[_Spoken]", await vendor.acompletion(**asked, stream=True))
            async with aclosing(stream):
                async for piece in stream:
                    for event in decoder.feed(b"data: " + _json(piece) + b"\n\n"):
                        yield _ours(event)
            for event in decoder.feed(b"data: [DONE]\n\n"):
                yield _ours(event)
        except _package_errors() as error:
            raise self._failure(error, asked, message) from error
        except WireError as mistake:
            raise self._failures.unusable(mistake) from mistake

    def _made(self) -> _Vendor:
        package = import_module(PACKAGE)
        settings = self._settings
        arguments: dict[str, object] = {"api_key": self._api_key, "api_base": settings.base_url, "unified_exceptions": True}
        try:
            try:
                # We try again ourselves, and know the deadline.
                return package.AnyLLM.create(settings.vendor, **arguments, max_retries=0)
            except package.exceptions.UnsupportedParameterError:
                return package.AnyLLM.create(settings.vendor, **arguments)
        except package.exceptions.UnsupportedProviderError:
            known = ", ".join(sorted(str(one.value) for one in package.LLMProvider))
            raise _Unusable(f"any-llm knows no vendor of that name; it knows {known}") from None
        except package.exceptions.MissingApiKeyError:
            raise _Unusable("it has no key; set api_key_env or api_key_file") from None
        except package.exceptions.AnyLLMError as error:
            raise _Unusable(self._failures.sanitised(str(error))) from error
        except ImportError as error:
            raise _Unusable(f"a package is missing: pip install 'any-llm-sdk[{settings.vendor}]'") from error

    def _asked(self, message: Message) -> dict[str, Any]:
        settings = self._settings
        wished, turns = caller_options(message.options), compose(message)
        if wished:
            refuse(self._name, wished, _LACKING, "not every vendor has it")
        if message.conversation:
            refuse_parts(self._name, turns)
            if not settings.vision:
                refuse_images(self._name, turns)
        wishes = {name: loose(raw) for name, raw in wished.items()}
        limit = wishes.get("max_completion_tokens") or wishes.get("max_tokens") or settings.max_tokens
        parameters: dict[str, object] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "stop": list(settings.stop) if settings.stop else None,
            "seed": settings.seed,
            "reasoning_effort": settings.reasoning_effort,
            **{name: value for name, value in wishes.items() if name in _CALLERS},
        }
        return {
            "model": settings.model,
            "messages": [plain(turn) for turn in turns],
            "max_tokens": limit,
            **{name: value for name, value in parameters.items() if value is not None},
        }

    def _failure(self, error: Exception, asked: Mapping[str, object], message: Message) -> ProviderError:
        """What the package raised, as one of our errors."""
        status, code = _KINDS.get(type(error).__name__, (None, ""))
        said = getattr(error, "status_code", None)
        status = said if isinstance(said, int) and said >= 400 else status
        if status is not None:
            patience = getattr(error, "retry_after", None)
            body = msgspec.json.encode({"error": {"message": _said(error), "code": code or getattr(error, "code", None)}})
            rejected = self._failures.rejected(status, body, message, msgspec.json.encode(asked))
            wait = patience if isinstance(patience, str) else None
            failure = rejected or self._failures.refused(status, wait, body, _advice)
        elif (cause := _network(error)) is not None:
            lost = HttpFailure(f"the connection to {self._settings.vendor} failed")
            lost.__cause__ = cause
            failure = self._failures.unreachable(lost)
        else:
            failure = self._failures.unusable(WireError(_said(error)))
        failure.detail = self._failures.without_echo(failure, msgspec.json.encode(asked))
        return failure


def _package_errors() -> tuple[type[Exception], ...]:
    """What the package may raise by its own word; asked for only once it is imported."""
    base = cast("type[Exception]", import_module(f"{PACKAGE}.exceptions").AnyLLMError)
    return (base, RuntimeError, ValueError, TypeError, OSError)


def _ours(event: Event) -> Event:
    """The event without the bytes, which are the package's own and no vendor's."""
    return msgspec.structs.replace(event, raw=None) if isinstance(event, Delta | Thought | ToolCall | Used | End) else event


def _json(spoken: _Spoken) -> bytes:
    return spoken.model_dump_json(warnings=False).encode()


def _said(error: Exception) -> str:
    said = getattr(error, "message", None)
    return said if isinstance(said, str) else str(error)


def _network(error: BaseException | None) -> OSError | None:
    """The operating system's error at the bottom of it, where there is one."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, OSError):
            return error
        error, seen = error.__cause__ or error.__context__ or getattr(error, "original_exception", None), seen + 1
    return None


def _advice(status: int, said: str) -> str:
    del said
    match status:
        case 401 | 403:
            return "Check its api_key_env or api_key_file."
        case 404:
            return "Check its model, and its base_url if it has one."
        case _:
            return ""


provider = AnyLlm()
