"""The embedder's own model as one that callers may name."""

import asyncio
from base64 import b64encode

import msgspec

from dagi.errors import ContextTooLong, Invalid, NotConfigured, ProviderUnavailable
from dagi.ports.embedder import DIMENSIONS, MAX_TEXT, Embedder, EmbedderUnavailable
from dagi.ports.embeddings import Batch, Embedded

# Of one batch. The embedder works on one text at a time (15 to 250 ms); the second one saves it the way there and back.
_AT_ONCE = 2
MAX_LOCAL_TEXTS = 256
_RETRY_AFTER_S = 2


class LocalEmbeddings:
    """Implements `dagi.ports.embeddings.Embeddings` with the multilingual e5-small of the embedder process.

    Args:
        embedder: a connection of its own, so that searches do not wait; None where the configuration switches the embedder off.
        query: embed questions about passages, and not passages; the model was trained to tell them apart.
    """

    def __init__(self, name: str, embedder: Embedder | None, *, query: bool) -> None:
        self._name = name
        self._embedder = embedder
        self._query = query

    async def embed(self, batch: Batch) -> Embedded:
        """See the port.

        Raises:
            NotConfigured: the embedder is switched off.
            ProviderUnavailable: it is not there now.
        """
        if self._embedder is None:
            sentence = f"{self._name} is switched off on this installation: knowledge.embedder is false."
            raise NotConfigured(sentence, provider=self._name)
        self._check(batch)
        vectors: list[msgspec.Raw] = []
        try:
            for start in range(0, batch.size, _AT_ONCE):
                part = batch.texts[start : start + _AT_ONCE]
                made = await asyncio.gather(*[self._embedder.vector(text, query=self._query) for text in part])
                vectors.extend(msgspec.Raw(b'"' + b64encode(vector) + b'"') for vector in made)
        except EmbedderUnavailable as why:
            sentence = f"{self._name} is not there just now: {why}. `dagi doctor` says more."
            raise ProviderUnavailable(sentence, provider=self._name, retry_after_s=_RETRY_AFTER_S) from why
        return Embedded(vectors=vectors, model=self._name)

    def _check(self, batch: Batch) -> None:
        if batch.tokenised:
            sentence = f"{self._name} embeds texts, not numbers of another model's tokens. Send input as text"
            raise Invalid(f"{sentence} (LangChain: check_embedding_ctx_length=False).", field="input", provider=self._name)
        if batch.dimensions not in {None, DIMENSIONS}:
            sentence = f"Vectors of {self._name} have {DIMENSIONS} dimensions; leave dimensions out."
            raise Invalid(sentence, field="dimensions", allowed=[DIMENSIONS])
        if batch.size > MAX_LOCAL_TEXTS:
            raise Invalid(f"{self._name} takes at most {MAX_LOCAL_TEXTS} texts at once; send several requests.", field="input")
        for place, text in enumerate(batch.texts):
            if len(text) > MAX_TEXT:
                sentence = f"input[{place}] has {len(text)} characters; {self._name} reads {MAX_TEXT}. Split it."
                raise ContextTooLong(sentence, field=f"input[{place}]", provider=self._name)
