"""Model servers that embed texts: OpenAI's `/embeddings` and Ollama's `/api/embed`."""

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from dagi.errors import Invalid, ProviderError
from dagi.ports.embeddings import Batch, Embedded
from dagi.ports.http import HttpClient, HttpFailure, HttpRequest
from dagi.targets.models.failures import Failures
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.embeddings import EMBEDDINGS_LIMIT

_ERROR_LIMIT = 64 * 1024


class EmbeddingServer(msgspec.Struct, frozen=True, kw_only=True):
    """One embedding model of a server; implements `dagi.ports.embeddings.Embeddings`.

    Attributes:
        encode: the request's body for a batch; decode: the vectors of an answer's body.
        advice: what to do about an HTTP status and the short message that came with it, where there is something.
        reads_tokens: it takes texts as numbers of its own tokens, too.
    """

    http: HttpClient
    failures: Failures
    url: str
    headers: dict[str, str]
    encode: Callable[[Batch], bytes]
    decode: Callable[[bytes, Batch], Embedded]
    advice: Callable[[int, str], str]
    reads_tokens: bool = True

    async def embed(self, batch: Batch) -> Embedded:
        """See `dagi.ports.embeddings.Embeddings.embed`."""
        if batch.tokenised and not self.reads_tokens:
            raise no_tokens(self.failures.provider)
        request = HttpRequest(method="POST", url=self.url, headers=self.headers, body=self.encode(batch))
        answered = False
        try:
            async with self.http.open(request) as response:
                if response.status != HTTPStatus.OK:
                    data = await response.read(_ERROR_LIMIT)
                    raise self.failures.refused(response.status, response.header("retry-after"), data, self.advice)
                answered = True
                return self.decode(await response.read(EMBEDDINGS_LIMIT), batch)
        except WireError as mistake:
            error = self.failures.unusable(mistake)
        except HttpFailure as failure:
            error = self.failures.broken(failure) if answered else self.failures.unreachable(failure)
        except ProviderError as refusal:
            error = refusal
        error.detail = self.failures.without_echo(error, _told(batch))
        raise error


def no_tokens(provider: str) -> Invalid:
    """The caller sent numbers of tokens to a model that reads texts."""
    sentence = f"{provider} embeds texts, not numbers of another model's tokens. Send input as text"
    return Invalid(f"{sentence} (LangChain: check_embedding_ctx_length=False).", field="input", provider=provider)


def _told(batch: Batch) -> bytes:
    """The texts in the form of a conversation, in which an error's detail is looked for."""
    return msgspec.json.encode({"messages": [{"content": text} for text in batch.texts]})
