"""Servers that speak OpenAI's chat completions. Each provider of the kind is an instance with settings of its own."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, TypeVar

from dagi.message import Grant, Message
from dagi.ports.http import HttpRequest
from dagi.ports.provider import Finding, ProviderTools, Vectors
from dagi.ports.target import Ear, Event
from dagi.targets.models.asking import Asking
from dagi.targets.models.chat_check import check
from dagi.targets.models.compose import compose
from dagi.targets.models.embedding import EmbeddingServer
from dagi.targets.models.failures import Failures
from dagi.targets.models.settings import ModelSettings
from dagi.targets.models.wire import embeddings
from dagi.targets.models.wire.openai_chat import ChatDecoder, decode_answer
from dagi.targets.models.wire.openai_request import caller_options, encode_request, without
from dagi.targets.models.wishes import refuse, refuse_images

# Of what a model may refuse these change what the caller is told, so they are not merely left out.
_TOLD = frozenset({"logprobs", "top_logprobs", "logit_bias"})


class ChatSettings(ModelSettings):
    """Settings of a server that speaks OpenAI's chat completions.

    Attributes:
        max_tokens_name: what the server calls `max_tokens`.
        stream_usage: ask for token counts in streams; off for the few servers that refuse `stream_options`.
        fresh_connections: one for each question, for servers that close those they have promised to keep, such as llama.cpp's.
    """

    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: bool = True
    fresh_connections: bool = False

    def headers(self) -> Mapping[str, str]:
        """Further headers of every request."""
        return {}

    def parameters(self) -> Mapping[str, object]:
        """Further parameters of every request; the caller's go before them."""
        return {}

    def unsupported(self) -> frozenset[str]:
        """Parameters the model refuses; they are left out, whoever set them."""
        return frozenset()


SettingsT = TypeVar("SettingsT", bound=ChatSettings)


@dataclass(frozen=True)
class ChatApi(Generic[SettingsT]):
    """A provider that speaks OpenAI's chat completions; satisfies `dagi.ports.provider.Provider`."""

    Settings: type[SettingsT]
    needs_key: bool

    def build(self, name: str, settings: SettingsT, tools: ProviderTools) -> "ChatTarget":
        """The target that answers under this name."""
        return ChatTarget(name, settings, tools)

    def embeddings(self, name: str, settings: SettingsT, tools: ProviderTools) -> Vectors | None:
        """See `dagi.ports.provider.Embedding`."""
        model = settings.embedding_model
        if model is None:
            return None
        server = EmbeddingServer(
            http=tools.http,
            failures=Failures(provider=name, api_key=tools.api_key, now=tools.clock.now),
            url=f"{settings.base_url}/embeddings",
            headers={**headers(tools.api_key), **settings.headers()},
            encode=partial(embeddings.encode_request, model),
            decode=partial(embeddings.decode_answer, model=model),
            advice=partial(_advice, model),
        )
        return Vectors(model, server)

    async def check(self, name: str, settings: SettingsT, tools: ProviderTools) -> tuple[Finding, ...]:
        """Whether the server is there, accepts the key and has the model."""
        return await check(name, settings, tools, needs_key=self.needs_key)


class ChatTarget:
    """One model of such a server."""

    def __init__(self, name: str, settings: ChatSettings, tools: ProviderTools) -> None:
        self._name = name
        self._settings = settings
        self._url = f"{settings.base_url}/chat/completions"
        self._headers = {**headers(tools.api_key, accept="text/event-stream, application/json"), **settings.headers()}
        self._unsupported = settings.unsupported()
        defaults: dict[str, object] = {
            settings.max_tokens_name: settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "stop": settings.stop,
            "seed": settings.seed,
            **settings.parameters(),
        }
        self._defaults = {name: value for name, value in defaults.items() if name not in self._unsupported}
        self._asking = Asking(
            http=tools.http,
            failures=Failures(provider=name, api_key=tools.api_key, now=tools.clock.now),
            decoder=partial(ChatDecoder, name, settings.model),
            decode_whole=partial(decode_answer, provider=name, model=settings.model),
            advice=partial(_advice, settings.model),
        )

    def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`."""
        del grant
        return self._asking.ask(self._request(message, stream=True), message)

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`."""
        del grant
        await self._asking.tell(self._request(message, stream=message.streamed), message, ear)

    def _request(self, message: Message, *, stream: bool) -> HttpRequest:
        settings, turns = self._settings, compose(message)
        if message.conversation and not settings.vision:
            refuse_images(self._name, turns)
        if self._unsupported and message.options is not None:
            lacking = _TOLD & self._unsupported
            refuse(self._name, caller_options(message.options), lacking, f"{settings.model} thinks first and refuses it")
        body = encode_request(
            settings.model,
            turns,
            defaults=self._defaults,
            options=without(message.options, self._unsupported),
            stream=stream,
            ask_usage=settings.stream_usage,
        )
        return HttpRequest(method="POST", url=self._url, headers=self._headers, body=body, fresh=settings.fresh_connections)


def headers(api_key: str | None, accept: str = "application/json") -> Mapping[str, str]:
    """The headers of a request."""
    common = {"Content-Type": "application/json", "Accept": accept, "User-Agent": "dagi-stack"}
    return {**common, "Authorization": f"Bearer {api_key}"} if api_key else common


def _advice(model: str, status: int, said: str) -> str:
    del said
    match status:
        case 401 | 403:
            return "Check its api_key_env or api_key_file."
        case 404:
            return f"Check its base_url (it usually ends with /v1) and its model ({model})."
        case _:
            return ""
