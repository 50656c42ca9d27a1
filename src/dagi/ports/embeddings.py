"""Embeddings: texts as vectors, for callers who search by themselves; and the models that make them."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from typing_extensions import override

from dagi.message import Grant, Message, Mode, Usage
from dagi.ports.target import Event

MAX_TEXTS = 2048


class Batch(Message, frozen=True, kw_only=True):
    """Texts to embed together: a message without a prompt, so that they are counted like one and not kept as something said.

    Attributes:
        texts: what to embed, in order; empty where the caller sent `tokens`.
        tokenised: the same as numbers, which only the model whose they are understands.
        dimensions: the length wished for; None leaves the model's own.
        compact: the caller wants vectors as base64. A model may do otherwise; the face puts it right.
    """

    mode: Mode = "embedding"
    texts: tuple[str, ...] = ()
    tokenised: tuple[tuple[int, ...], ...] = ()
    dimensions: int | None = None
    compact: bool = False

    @property
    def size(self) -> int:
        """How many vectors are wanted."""
        return len(self.texts) or len(self.tokenised)

    @override
    def tokens(self) -> int:
        """How many tokens it holds: UTF-8 bytes / 4 where they are not given."""
        return sum(len(text.encode()) for text in self.texts) // 4 + sum(len(numbers) for numbers in self.tokenised)


class Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors of a batch, in its order.

    Attributes:
        vectors: each as JSON: a list of numbers, or a string of base64 (float32, little endian).
        usage: what it cost; None where nobody has counted, so that it is estimated.
    """

    vectors: Sequence[msgspec.Raw]
    model: str
    usage: Usage | None = None


class Embeddings(Protocol):
    """One model that makes vectors."""

    async def embed(self, batch: Batch) -> Embedded:
        """The vectors of all texts, or none.

        Raises:
            Invalid: the model cannot do what the batch asks for; names the field.
            TargetFailure: it did not answer.
        """
        ...


class EmbeddingTarget(Protocol):
    """A model with everything around it that makes it resilient.

    Attributes:
        provider: its name in the configuration.
    """

    @property
    def provider(self) -> str:
        """See the class."""
        ...

    async def embed(self, batch: Batch, grant: Grant, hear: Callable[[Event], None]) -> Embedded:
        """The vectors of all texts, or none; see `Embeddings.embed`.

        Args:
            hear: told of waits, attempts, usage and the end, as they happen.
        """
        ...


class EmbeddingTargets(Protocol):
    """The embedding models that callers may name."""

    def find(self, model: str) -> EmbeddingTarget:
        """The one of that name.

        Raises:
            UnknownModel: there is none.
        """
        ...

    def names(self) -> tuple[str, ...]:
        """All of them, in the order of the configuration."""
        ...
