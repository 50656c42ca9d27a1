"""The embedding models that callers may name: the configured providers', and the embedder's own."""

from collections.abc import Iterable, Mapping

from dagi.assemble.providers import Built
from dagi.errors import UnknownModel
from dagi.ports.clock import Clock
from dagi.ports.embeddings import EmbeddingTarget
from dagi.ports.observer import Observer
from dagi.remote.embedder import RemoteEmbedder
from dagi.remote.embeddings import LocalEmbeddings
from dagi.targets.resilience.embedding import ResilientEmbeddings
from dagi.targets.resilience.settings import ResilienceSettings, RetrySettings

LOCAL = "dagi-embeddings"
LOCAL_QUERY = f"{LOCAL}/query"
# The embedder works on one text at a time, so more batches at once would only all be late; 256 long texts take a minute, and several on
# a busy machine.
_SETTINGS = ResilienceSettings(timeout_ms=300_000, max_concurrent=2, queue_timeout_ms=30_000, retry=RetrySettings(attempts=1))


class EmbeddingTable:
    """Implements the port EmbeddingTargets. A provider's model goes by the provider's name, and by its server's name for it.

    Where several have the same name, a provider's own name goes before its server's, and the earlier provider before the later one.
    """

    def __init__(self, built: Iterable[Built], local: Mapping[str, EmbeddingTarget]) -> None:
        offered = [(one.configured.name, *one.vectors) for one in built if one.vectors is not None]
        found: dict[str, EmbeddingTarget] = {name: target for name, _, target in offered}
        for _, model, target in offered:
            found.setdefault(model, target)
        self._found = {**local, **found}

    def find(self, model: str) -> EmbeddingTarget:
        """See the port."""
        target = self._found.get(model)
        if target is None:
            sentence = f"There is no embedding model of that name. There are: {', '.join(self._found)}."
            raise UnknownModel(sentence, model=model[:200], known=list(self._found))
        return target

    def names(self) -> tuple[str, ...]:
        """See the port."""
        return tuple(self._found)


def local_embeddings(embedder: RemoteEmbedder | None, clock: Clock, observer: Observer) -> Mapping[str, EmbeddingTarget]:
    """The embedder's own model, for passages and for questions about them.

    Args:
        embedder: a connection of its own; None where the embedder is switched off, which the answer then says.
    """
    models = {LOCAL: LocalEmbeddings(LOCAL, embedder, query=False), LOCAL_QUERY: LocalEmbeddings(LOCAL_QUERY, embedder, query=True)}
    return {name: ResilientEmbeddings(name, model, _SETTINGS, clock, observer) for name, model in models.items()}
