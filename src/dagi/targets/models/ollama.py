"""Provider `ollama`: Ollama's native API."""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from pydantic import AliasChoices, ConfigDict, Field

from dagi.errors import CannotDo
from dagi.message import Grant, Message, Turn
from dagi.ports.http import HttpFailure, HttpRequest
from dagi.ports.provider import Finding, ProviderTools, Vectors
from dagi.ports.target import Ear, Event
from dagi.targets.models.asking import Asking
from dagi.targets.models.compose import compose
from dagi.targets.models.embedding import EmbeddingServer
from dagi.targets.models.failures import Failures
from dagi.targets.models.settings import BaseUrl, ModelSettings
from dagi.targets.models.wire.embeddings import decode_ollama, encode_ollama
from dagi.targets.models.wire.ollama import OllamaDecoder
from dagi.targets.models.wire.ollama_request import encode_request, further, image_data
from dagi.targets.models.wire.openai_frames import loose
from dagi.targets.models.wire.openai_request import caller_options
from dagi.targets.models.wishes import refuse, refuse_images, refuse_parts

# The caller's parameters (OpenAI's names) that mean the same to Ollama.
_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "top_k": "top_k",
    "min_p": "min_p",
}
_LACKING = frozenset(
    {
        "n", "logprobs", "top_logprobs", "logit_bias", "tool_choice", "parallel_tool_calls", "functions", "function_call", "modalities",
        "audio", "web_search_options",
    }
)  # fmt: skip
# A duration as Go writes it: Ollama answers every request with an error where it cannot be read.
KeepAlive = Annotated[str, Field(pattern=r"^-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$")]
_LIST_LIMIT = 4 * 1024 * 1024


class OllamaSettings(ModelSettings):
    """Settings of an Ollama server.

    Attributes:
        num_ctx: how much the model reads at once, in tokens; `context_tokens` is the same. Ollama's own default is small.
        keep_alive: how long the model stays in memory after an answer, such as `10m`, or seconds; -1 is for ever.
        think: let a reasoning model think first; some models take how much instead. Off by default: `max_tokens` counts the thinking
            too, so a short limit would leave no answer. None leaves it to the model.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    base_url: BaseUrl = "http://localhost:11434"
    num_ctx: int | None = Field(default=None, ge=256, validation_alias=AliasChoices("num_ctx", "context_tokens"))
    keep_alive: int | KeepAlive | None = None
    think: bool | Literal["low", "medium", "high"] | None = False


class Ollama:
    """The provider; satisfies `dagi.ports.provider.Provider`."""

    Settings = OllamaSettings
    needs_key = False

    def build(self, name: str, settings: OllamaSettings, tools: ProviderTools) -> "OllamaTarget":
        """The target that answers under this name."""
        return OllamaTarget(name, settings, tools)

    def embeddings(self, name: str, settings: OllamaSettings, tools: ProviderTools) -> Vectors | None:
        """See `dagi.ports.provider.Embedding`."""
        model = settings.embedding_model
        if model is None:
            return None
        server = EmbeddingServer(
            http=tools.http,
            failures=Failures(provider=name, api_key=tools.api_key, now=tools.clock.now),
            url=f"{settings.base_url}/api/embed",
            headers=_headers(tools.api_key),
            encode=partial(encode_ollama, model, keep_alive=settings.keep_alive),
            decode=partial(decode_ollama, model=model),
            advice=partial(_advice, model),
            reads_tokens=False,
        )
        return Vectors(model, server)

    async def check(self, name: str, settings: OllamaSettings, tools: ProviderTools) -> tuple[Finding, ...]:
        """Whether Ollama runs and has pulled the model."""
        request = HttpRequest(method="GET", url=f"{settings.base_url}/api/tags", headers=_headers(tools.api_key))
        try:
            async with tools.http.open(request) as response:
                data = await response.read(_LIST_LIMIT)
        except HttpFailure as failure:
            fix = f"Start it with `ollama serve`, or correct base_url ({settings.base_url})."
            return (Finding(severity="error", what=f"{name} could not be reached: {failure}.", fix=fix),)
        if response.status != HTTPStatus.OK:
            what = f"{name} answered with HTTP {response.status} when asked for its models."
            return (Finding(severity="error", what=what, fix=f"Check that Ollama listens at {settings.base_url} (without /v1)."),)
        reachable = Finding(severity="ok", what=f"{name} is reachable at {settings.base_url}.")
        named = (settings.model, settings.embedding_model)
        return (reachable, *(_pulled(name, model, data) for model in named if model is not None))


class OllamaTarget:
    """One model of an Ollama server."""

    def __init__(self, name: str, settings: OllamaSettings, tools: ProviderTools) -> None:
        self._settings = settings
        self._url = f"{settings.base_url}/api/chat"
        self._headers = _headers(tools.api_key)
        self._asking = Asking(
            http=tools.http,
            failures=Failures(provider=name, api_key=tools.api_key, now=tools.clock.now),
            decoder=partial(OllamaDecoder, name, settings.model),
            decode_whole=self._decode_whole,
            advice=partial(_advice, settings.model),
        )
        self._name = name

    def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`."""
        del grant
        return self._asking.ask(self._request(message, stream=True), message)

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`."""
        del grant
        await self._asking.tell(self._request(message, stream=message.streamed), message, ear)

    def _request(self, message: Message, *, stream: bool) -> HttpRequest:
        settings = self._settings
        turns, wishes = compose(message), caller_options(message.options)
        if wishes:
            refuse(self._name, wishes, _LACKING, "Ollama's protocol has no such thing")
        if message.conversation:
            refuse_parts(self._name, turns)
            if not settings.vision:
                refuse_images(self._name, turns)
        body = encode_request(
            settings.model,
            self._shown(turns),
            parameters=_parameters(settings, wishes),
            extra={"think": settings.think, "keep_alive": settings.keep_alive, **further(wishes, settings.think)},
            stream=stream,
        )
        return HttpRequest(method="POST", url=self._url, headers=self._headers, body=body)

    def _shown(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        for turn in turns:
            if any(image_data(url) is None for url in turn.images):
                sentence = f"{self._name} takes the image itself (`data:image/…;base64,…`) and fetches none."
                raise CannotDo(sentence, provider=self._name, field="messages.content.image_url")
        return turns

    def _decode_whole(self, data: bytes) -> list[Event]:
        decoder = OllamaDecoder(self._name, self._settings.model, line_limit=len(data))
        events = [*decoder.feed(data), *decoder.finish()]
        if decoder.failed is not None:
            raise decoder.failed
        return events


def _advice(model: str, status: int, said: str) -> str:
    if status != HTTPStatus.NOT_FOUND:
        return ""
    if "model" in said:
        return f"Run `ollama pull {model}`."
    return "Check its base_url: it is Ollama's own address, without /v1."


def _headers(api_key: str | None) -> dict[str, str]:
    common = {"Content-Type": "application/json", "Accept": "application/x-ndjson, application/json", "User-Agent": "dagi-stack"}
    return {**common, "Authorization": f"Bearer {api_key}"} if api_key else common


def _parameters(settings: OllamaSettings, wishes: Mapping[str, msgspec.Raw]) -> dict[str, object]:
    parameters: dict[str, object] = {
        "num_predict": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "stop": settings.stop,
        "seed": settings.seed,
        "num_ctx": settings.num_ctx,
    }
    for name, raw in wishes.items():
        value = loose(raw)
        if name in _PARAMETERS and value is not None:
            # OpenAI takes one stop word as a plain string, Ollama only a list.
            parameters[_PARAMETERS[name]] = [value] if name == "stop" and isinstance(value, str) else value
    return parameters


class _Tag(msgspec.Struct):
    name: str


class _Tags(msgspec.Struct):
    models: list[_Tag]


def _pulled(name: str, model: str, data: bytes) -> Finding:
    try:
        known = {tag.name for tag in msgspec.json.decode(data, type=_Tags).models}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = f"{name} answers, but not as Ollama does."
        return Finding(severity="error", what=what, fix="Check base_url: another kind of server may be listening there.")
    if model in known or f"{model}:latest" in known:
        return Finding(severity="ok", what=f"{name} has the model {model}.")
    return Finding(severity="error", what=f"{name} has not pulled the model {model}.", fix=f"ollama pull {model}")


provider = Ollama()
