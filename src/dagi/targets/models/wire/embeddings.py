"""Embeddings of OpenAI's protocol and of Ollama's own: request bodies and answers. Never awaits."""

import msgspec

from dagi.message import Usage
from dagi.ports.embeddings import Batch, Embedded
from dagi.targets.models.wire import WireError, counted, parsed
from dagi.targets.models.wire.openai_frames import body, loose, usage
from dagi.targets.models.wire.openai_request import caller_options

# 2,048 vectors of 3,072 numbers as base64 are 34 MB.
EMBEDDINGS_LIMIT = 64 * 1024 * 1024
# What the batch itself says.
_OURS = frozenset({"model", "input", "dimensions", "encoding_format"})
_NULL = msgspec.Raw(b"null")


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Vector]
    model: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL


class _OllamaAnswer(msgspec.Struct):
    embeddings: list[msgspec.Raw]
    model: msgspec.Raw = _NULL
    prompt_eval_count: int | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_OLLAMA = msgspec.json.Decoder(_OllamaAnswer)


def encode_request(model: str, batch: Batch) -> bytes:
    """The body of `POST /embeddings`; the caller's further parameters are passed on."""
    request: dict[str, object] = {"model": model, "input": batch.texts or batch.tokenised}
    if batch.dimensions is not None:
        request["dimensions"] = batch.dimensions
    if batch.compact:
        request["encoding_format"] = "base64"
    wishes = caller_options(batch.options)
    return msgspec.json.encode({**request, **{name: value for name, value in wishes.items() if name not in _OURS}})


def decode_answer(data: bytes, batch: Batch, model: str) -> Embedded:
    """The vectors in the batch's order.

    Raises:
        WireError: it is no such answer, or not one vector for each text, or it says that it failed.
    """
    problem = body(data).fault()
    if problem is not None:
        raise problem
    answer = parsed(_ANSWER, data)
    places = [place if vector.index is None else vector.index for place, vector in enumerate(answer.data)]
    if sorted(places) != list(range(batch.size)):
        raise WireError(f"it gave {len(places)} vectors for {batch.size} texts, or named their places wrongly")
    vectors = [_NULL] * batch.size
    for place, vector in zip(places, answer.data, strict=True):
        vectors[place] = _vector(vector.embedding)
    return Embedded(vectors=vectors, model=_name(answer.model, model), usage=usage(answer.usage))


def encode_ollama(model: str, batch: Batch, keep_alive: int | str | None = None) -> bytes:
    """The body of `POST /api/embed`. A text that is too long is an error there, instead of losing its end."""
    request: dict[str, object] = {"model": model, "input": batch.texts, "truncate": False}
    if batch.dimensions is not None:
        request["dimensions"] = batch.dimensions
    if keep_alive is not None:
        request["keep_alive"] = keep_alive
    return msgspec.json.encode(request)


def decode_ollama(data: bytes, batch: Batch, model: str) -> Embedded:
    """The vectors in the batch's order. Raises WireError like `decode_answer`."""
    problem = body(data).fault()
    if problem is not None:
        raise problem
    answer = parsed(_OLLAMA, data)
    if len(answer.embeddings) != batch.size:
        raise WireError(f"it gave {len(answer.embeddings)} vectors for {batch.size} texts")
    tokens = counted(answer.prompt_eval_count)
    spent = Usage(prompt_tokens=tokens, total_tokens=tokens) if tokens else None
    return Embedded(vectors=[_vector(raw) for raw in answer.embeddings], model=_name(answer.model, model), usage=spent)


def _vector(raw: msgspec.Raw) -> msgspec.Raw:
    text = memoryview(raw)
    if len(text) < 3 or text[0] not in b'["':
        raise WireError("one of its vectors is none")
    return raw


def _name(raw: msgspec.Raw, otherwise: str) -> str:
    name = loose(raw)
    return name if isinstance(name, str) and name else otherwise
