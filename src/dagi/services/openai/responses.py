"""`POST /v1/responses`: OpenAI's Responses API without a memory, asked as a chat completion. Coding agents use it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, cast

import msgspec

from dagi.errors import DagiError, Missing
from dagi.ports.dialogs import Exchange
from dagi.ports.target import Delta, Event, Thought
from dagi.rules.rule import NOTHING
from dagi.services.callers import Callers
from dagi.services.errors import encode
from dagi.services.face import JSON, Answer, Endpoint, Parameter, Request
from dagi.services.openai.answers import created, finish, usage_of
from dagi.services.openai.bodies import decoded, read_chat, to_message
from dagi.services.openai.chat import OpenAIError
from dagi.services.openai.response_items import Json
from dagi.services.openai.responses_in import chat_fields
from dagi.services.openai.responses_out import Ending, ResponseWriter
from dagi.services.ratelimits import limit_headers
from dagi.services.streams import Asking

PLACES: Final = ("/v1/responses", "/responses")
_DESCRIPTION: Final = (
    "Nothing is kept: send the whole conversation as `input`. Tools of the type `function` are passed on; streams have OpenAI's events."
)
_body: Final = msgspec.json.Decoder(dict[str, object])


class ResponsesBody(msgspec.Struct):
    """The body of POST /v1/responses. Keys that chat completions know as well, such as `temperature`, go to the model."""

    model: Annotated[str, msgspec.Meta(description="As for /v1/chat/completions.")]
    input: Annotated[str | list[Json], msgspec.Meta(description="A text, or items: messages, function calls and their outputs.")]
    instructions: str | None = None
    tools: Annotated[list[Json] | None, msgspec.Meta(description="Tools of the type `function`.")] = None
    tool_choice: object = None
    text: Annotated[Json | None, msgspec.Meta(description="`format`: text, json_object or json_schema.")] = None
    max_output_tokens: int | None = None
    reasoning: Json | None = None
    stream: bool | None = None
    user: str | None = None
    metadata: Annotated[Json | None, msgspec.Meta(description="As for /v1/chat/completions.")] = None


class ResponseBody(msgspec.Struct):
    """A whole response; what of the request it repeats stands beside these keys."""

    id: str
    created_at: int
    model: str
    status: str
    output: list[Json]
    usage: Json
    object: str = "response"


class ResponsesFace:
    """Translates, asks the router, translates back."""

    def __init__(self, asking: Asking, callers: Callers) -> None:
        self._asking = asking
        self._callers = callers

    async def create(self, request: Request) -> Answer:
        """POST /v1/responses."""
        caller = self._callers.prove(request)
        asked = decoded(_body, request.body)
        chat = read_chat(msgspec.json.encode(chat_fields(asked)))
        exchange = self._asking.router.exchange(to_message(chat, caller, self._callers, request.id))
        if exchange.message.streamed:
            return self._asking.streamed(exchange, ResponseFrames(exchange, asked), NOTHING)
        await self._asking.whole(exchange, NOTHING)
        return Answer(headers=[JSON, *limit_headers(exchange.allowance)], body=encode(whole_response(exchange, asked)))

    async def absent(self, request: Request) -> Answer:
        """GET, DELETE and what else there is of a response that was kept: none ever is.

        Raises:
            Missing: always.
        """
        self._callers.prove(request)
        raise Missing("There is no response of that id: this server keeps none. Send the whole conversation as input.")

    def endpoints(self) -> Sequence[Endpoint]:
        """With and without `/v1`."""
        called = [Parameter(name="response", description="A response's id.", place="path")]
        found: list[Endpoint] = []
        for path in PLACES:
            found.append(
                Endpoint(
                    method="POST",
                    path=path,
                    handler=self.create,
                    summary="Responses without a memory (OpenAI)",
                    description=_DESCRIPTION,
                    takes=ResponsesBody,
                    gives=ResponseBody,
                    fails=OpenAIError,
                    stream=True,
                    errors=(400, 401, 403, 404, 413, 429, 502, 503, 504),
                )
            )
            found += (
                Endpoint(
                    method=method,
                    path=f"{path}/{{response}}",
                    greedy=True,
                    handler=self.absent,
                    summary="A response that was kept: none is (OpenAI)",
                    fails=OpenAIError,
                    parameters=called,
                    errors=(401, 404),
                )
                for method in ("GET", "DELETE", "POST")
            )
        return found


def whole_response(exchange: Exchange, asked: Mapping[str, object]) -> Json:
    """The response object of an answer that came in one piece."""
    writer = ResponseWriter(exchange.message.id, created(exchange), asked)
    thoughts, calls = exchange.thoughts, exchange.calls.values()
    for event in (Thought("".join(thoughts)), Delta(exchange.text), *calls):
        for _ in writer.hear(event):
            pass
    *_, last = writer.end(_ending(exchange))
    return cast("Json", last["response"])


class ResponseFrames:
    """Implements `dagi.services.streams.Frames`. A failure is an event of the protocol, after which the stream ends in good order."""

    cuts = False
    framed = False
    raw = False

    def __init__(self, exchange: Exchange, asked: Mapping[str, object]) -> None:
        self._exchange = exchange
        self._writer = ResponseWriter(exchange.message.id, created(exchange), asked)
        self._begun = False

    def frame(self, event: Event) -> bytes | None:
        """See the protocol."""
        events = [*self._beginning(), *self._writer.hear(event)]
        return _sse(events) if events else None

    def ending(self, exchange: Exchange) -> bytes:
        """See the protocol."""
        return _sse([*self._beginning(), *self._writer.end(_ending(exchange))])

    def failure(self, error: DagiError, exchange: Exchange) -> bytes:
        """See the protocol."""
        return _sse([*self._beginning(), *self._writer.fail(error, exchange.message.id)])

    def _beginning(self) -> Iterable[Json]:
        if self._begun:
            return ()
        self._begun = True
        return self._writer.begin()


def _ending(exchange: Exchange) -> Ending:
    ended_s = exchange.at.timestamp() + exchange.timings_ms["total"] / 1000
    reason = finish(exchange.finish_reason, calls=bool(exchange.calls))
    return Ending(at=int(ended_s), finish_reason=reason, usage=usage_of(exchange))


def _sse(events: Iterable[Json]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), encode(event)) for event in events)
