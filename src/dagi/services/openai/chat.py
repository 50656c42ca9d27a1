"""`POST /v1/chat/completions`: OpenAI's clients ask the same router as everybody else."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dagi.errors import Invalid
from dagi.rules.rule import NOTHING
from dagi.services.callers import Callers
from dagi.services.face import JSON, Answer, Endpoint, Request
from dagi.services.openai.answers import Json, whole_answer
from dagi.services.openai.bodies import ChatBody, ChatRequest, read_chat, to_message
from dagi.services.openai.frames import ChatFrames
from dagi.services.openai.responses_in import as_chat, nested_tools
from dagi.services.ratelimits import limit_headers
from dagi.services.streams import Asking

PATHS: Final = ("/v1/chat/completions", "/chat/completions")
_DESCRIPTION: Final = (
    "OpenAI's protocol, whole and streamed. The model `dagi-stack` is answered by whoever the routing rules choose; a provider's name "
    "chooses that provider. Errors have OpenAI's shape."
)


class Completion(msgspec.Struct):
    """A whole answer in OpenAI's form; what else a model tells stands beside these keys."""

    id: str
    created: int
    model: str
    choices: list[Json]
    usage: Json
    object: str = "chat.completion"


class ErrorFacts(msgspec.Struct):
    """What happened. `dagi_code` is this stack's own code; facts of the error stand beside these keys."""

    message: str
    type: str
    param: str | None
    code: str
    dagi_code: str
    request_id: str


class OpenAIError(msgspec.Struct):
    """An error in OpenAI's shape."""

    error: ErrorFacts


def _read(body: bytes) -> ChatRequest:
    """The body, be it in part or altogether in the words of the Responses API, as Cursor sends it.

    Raises:
        Invalid: something read here is not of its form; names the field.
    """
    try:
        chat = read_chat(body)
    except Invalid:
        other = as_chat(body)
        if other is None:
            raise
        chat = read_chat(other)
    tools = chat.fields.get("tools")
    if tools is not None:
        chat.fields["tools"] = nested_tools(tools)
    return chat


class ChatFace:
    """Decodes, asks the router, encodes."""

    def __init__(self, asking: Asking, callers: Callers) -> None:
        self._asking = asking
        self._callers = callers

    async def complete(self, request: Request) -> Answer:
        """POST /v1/chat/completions."""
        caller = self._callers.prove(request)
        chat = _read(request.body)
        asking, model = self._asking, chat.body.model
        exchange = asking.router.exchange(to_message(chat, caller, self._callers, request.id))
        if exchange.message.streamed:
            return asking.streamed(exchange, ChatFrames(exchange, model, usage_asked=chat.usage_asked), NOTHING)
        await asking.whole(exchange, NOTHING)
        return Answer(headers=[JSON, *limit_headers(exchange.allowance)], body=whole_answer(exchange, model))

    def endpoints(self) -> Sequence[Endpoint]:
        """With and without `/v1`, for clients differ in what they take for the base URL."""
        return [
            Endpoint(
                method="POST",
                path=path,
                handler=self.complete,
                summary="Chat completions (OpenAI)",
                description=_DESCRIPTION,
                takes=ChatBody,
                gives=Completion,
                fails=OpenAIError,
                stream=True,
                errors=(400, 401, 403, 404, 413, 429, 502, 503, 504),
            )
            for path in PATHS
        ]
