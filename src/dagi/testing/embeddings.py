"""A fake embedding model, for tests of the stack and of plugins."""

import msgspec

from dagi.message import Usage
from dagi.ports.embeddings import Batch, Embedded
from dagi.testing.upstream_vectors import vector


class FakeEmbeddings:
    """Implements the port Embeddings: a text's length, then three zeros.

    Attributes:
        heard: the batches, in order.
        failure: raised instead of an answer, where it is set.
    """

    def __init__(self, failure: Exception | None = None) -> None:
        self.heard: list[Batch] = []
        self.failure = failure

    async def embed(self, batch: Batch) -> Embedded:
        """See the port."""
        self.heard.append(batch)
        if self.failure is not None:
            raise self.failure
        made = [vector(text, batch.dimensions or 4) for text in batch.texts or [list(numbers) for numbers in batch.tokenised]]
        tokens = batch.tokens()
        vectors = [msgspec.Raw(msgspec.json.encode(numbers)) for numbers in made]
        return Embedded(vectors=vectors, model="fake", usage=Usage(prompt_tokens=tokens, total_tokens=tokens))
