"""`POST /v1/embeddings`."""

import asyncio
from typing import Annotated, Final, Literal

import msgspec

from dagi.errors import DagiError, Invalid, ProviderError
from dagi.message import Sender
from dagi.ports.embeddings import MAX_TEXTS, Batch, Embedded
from dagi.router import Router
from dagi.services.callers import Callers
from dagi.services.errors import encode
from dagi.services.face import JSON, Answer, Endpoint, Request
from dagi.services.openai.bodies import OURS, check_ours, decoded, sender_of
from dagi.services.openai.chat import OpenAIError
from dagi.services.openai.vectors import length, spelled
from dagi.services.ratelimits import limit_headers

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Dimensions = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
# Read here; what else is sent goes on to servers that speak OpenAI's protocol.
_OURS: Final = OURS | {"model", "input", "encoding_format", "dimensions", "metadata"}


class EmbeddingsBody(msgspec.Struct):
    """The body of POST /v1/embeddings. Further fields go on to servers that speak OpenAI's protocol."""

    model: Annotated[str, msgspec.Meta(description="A provider with an `embedding_model`, that model, or `dagi-embeddings`.")]
    input: Annotated[
        str | list[str | _Number | list[_Number]],
        msgspec.Meta(description="A text, or up to 2,048; or token numbers, for models that read them."),
    ]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: _Dimensions | None = None
    user: Annotated[str | None, msgspec.Meta(description="A label of yours; for a key that may act for others, whom it speaks for.")] = None
    metadata: Annotated[dict[str, object] | None, msgspec.Meta(description="dao_id, user_id, source, session_id, as in /route.")] = None
    dagi_dao_id: str | None = None
    dagi_user_id: str | None = None
    dagi_source: str | None = None
    dagi_session_id: str | None = None


class VectorBody(msgspec.Struct):
    """One vector."""

    index: int
    embedding: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": ["array", "string"]})]
    object: Literal["embedding"] = "embedding"


class VectorUsage(msgspec.Struct):
    """What it cost."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(msgspec.Struct):
    """The vectors, in the order of the texts."""

    data: list[VectorBody]
    model: str
    usage: VectorUsage
    object: Literal["list"] = "list"


_AT_ONCE: Final = 32

_body: Final = msgspec.json.Decoder(EmbeddingsBody)
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class EmbeddingsFace:
    """Decodes, asks the router, encodes."""

    def __init__(self, router: Router, callers: Callers) -> None:
        self._router = router
        self._callers = callers

    async def embed(self, request: Request) -> Answer:
        """POST /v1/embeddings."""
        caller = self._callers.prove(request)
        body = decoded(_body, request.body)
        sender, person = sender_of(body, caller, self._callers, request.id)
        # Texts to embed stand alone: no conversation consists of them.
        sender = msgspec.structs.replace(sender, session_id="")
        batch = to_batch(request, body, sender, _OURS if person is None else _OURS | {"user"})
        exchange = self._router.exchange(batch)
        try:
            embedded = await self._router.embed(exchange, batch, body.model)
        except DagiError as error:
            error.headers = tuple(limit_headers(exchange.allowance))
            raise
        usage = VectorUsage(exchange.usage.prompt_tokens, exchange.usage.total_tokens)
        reply = EmbeddingsReply(await _vectors(embedded, batch, exchange.provider), embedded.model, usage)
        return Answer(headers=[JSON, *limit_headers(exchange.allowance)], body=encode(reply))

    def endpoints(self) -> list[Endpoint]:
        """The endpoint, with and without `/v1`."""
        return [
            Endpoint(
                method="POST",
                path=path,
                handler=self.embed,
                summary="Vectors of texts",
                takes=EmbeddingsBody,
                gives=EmbeddingsReply,
                fails=OpenAIError,
                errors=(400, 401, 403, 404, 413, 429, 502, 503, 504),
            )
            for path in ("/v1/embeddings", "/embeddings")
        ]


def to_batch(request: Request, body: EmbeddingsBody, sender: Sender, ours: frozenset[str] = _OURS) -> Batch:
    """The batch a body asks for.

    Args:
        ours: fields that do not go on to the model.

    Raises:
        Invalid: there is no text, an empty one, too many, or texts and numbers are mixed; or a key is like ours, and none of them.
    """
    given = [body.input] if isinstance(body.input, str) else body.input
    numbers = tuple(one for one in given if isinstance(one, int))
    lists = tuple(tuple(one) for one in given if isinstance(one, list))
    texts = tuple(one for one in given if isinstance(one, str))
    if not given:
        raise Invalid("input is empty; send at least one text.", field="input")
    if sum(map(bool, (numbers, lists, texts))) != 1:
        raise Invalid("input mixes texts and token numbers; send one kind.", field="input")
    if len(texts or lists) > MAX_TEXTS:
        raise Invalid(f"input holds {len(given)} texts; at most {MAX_TEXTS} go into one request.", field="input", allowed=MAX_TEXTS)
    for place, one in enumerate(texts or lists):
        _check(one, place)
    fields = _fields.decode(request.body)
    for name in fields:
        check_ours(name)
    further = {name: value for name, value in fields.items() if name not in ours}
    return Batch(
        id=request.id,
        sender=sender,
        texts=texts,
        tokenised=(numbers,) if numbers else lists,
        dimensions=body.dimensions,
        compact=body.encoding_format == "base64",
        options=msgspec.Raw(msgspec.json.encode(further)) if further else None,
    )


def _check(one: str | tuple[int, ...], place: int) -> None:
    field = f"input[{place}]"
    if not one:
        raise Invalid(f"{field} is empty; leave it out.", field=field)
    if isinstance(one, str):
        try:
            one.encode()
        except UnicodeEncodeError as error:
            raise Invalid(f"{field} holds half of a surrogate pair, which is no character.", field=field) from error


async def _vectors(embedded: Embedded, batch: Batch, provider: str) -> list[VectorBody]:
    """The vectors as the caller wants them.

    Raises:
        Invalid: the model gave another number of dimensions than was asked for.
        ProviderError: what it gave is no vector.
    """
    if batch.dimensions is not None and (found := length(embedded.vectors[0])) != batch.dimensions:
        sentence = f"{provider} cannot give {batch.dimensions} dimensions; its vectors have {found}. Leave dimensions out."
        raise Invalid(sentence, field="dimensions", allowed=[found])
    told: list[VectorBody] = []
    try:
        for place, vector in enumerate(embedded.vectors):
            told.append(VectorBody(place, spelled(vector, compact=batch.compact)))
            if place % _AT_ONCE == _AT_ONCE - 1:
                # Others' answers go on meanwhile: thousands of vectors take as long as many whole requests.
                await asyncio.sleep(0)
    except ValueError as error:
        raise ProviderError(f"{provider} gave something that is no vector.", provider=provider) from error
    return told
