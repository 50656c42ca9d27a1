"""An embedding model with retry, breaker, queue and timeout around it: the same as a chat model's, and places of its own."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from dagi.errors import ContextTooLong, Internal, ProviderError
from dagi.message import Grant, Message, Usage
from dagi.ports.clock import Clock
from dagi.ports.embeddings import Batch, Embedded, Embeddings
from dagi.ports.observer import Observer
from dagi.ports.target import Data, End, Event, Failure, Used
from dagi.targets.resilience.resilient import resilient
from dagi.targets.resilience.settings import ResilienceSettings

_VECTORS = "vectors"


class ResilientEmbeddings:
    """Implements `dagi.ports.embeddings.EmbeddingTarget`.

    Attributes:
        provider: its name in the configuration.
    """

    def __init__(self, provider: str, model: Embeddings, settings: ResilienceSettings, clock: Clock, observer: Observer) -> None:
        self.provider = provider
        # All vectors come at once, so there is no first piece of them to wait for.
        settings = settings.model_copy(update={"first_token_timeout_ms": None, "idle_timeout_ms": None})
        self._asked = resilient(provider, _AsTarget(provider, model), settings, clock, observer)

    async def embed(self, batch: Batch, grant: Grant, hear: Callable[[Event], None]) -> Embedded:
        """See the port.

        Raises:
            ContextTooLong: a text is longer than the model can read.
        """
        embedded: Embedded | None = None
        try:
            async with aclosing(self._asked.open(batch, grant)) as events:
                async for event in events:
                    match event:
                        case Data(values):
                            embedded = cast("Embedded", values[_VECTORS])
                        case Failure(error):
                            raise error
                        case _:
                            hear(event)
        except ProviderError as error:
            if error.facts.get("context_too_long") is not True:
                raise
            sentence = f"A text is longer than {self.provider} can read. Split it."
            raise ContextTooLong(sentence, field="input", provider=self.provider) from error
        if embedded is None:
            raise Internal(f"{self.provider} ended without vectors.")
        return embedded


class _AsTarget:
    """An embedding model as a target, so that what is put around targets fits around it."""

    def __init__(self, provider: str, model: Embeddings) -> None:
        self._provider = provider
        self._model = model

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`; the message is a batch."""
        del grant
        if not isinstance(message, Batch):
            raise Internal("Only a batch of texts can be embedded.")
        embedded = await self._model.embed(message)
        yield Data({_VECTORS: embedded})
        tokens = message.tokens()
        yield Used(embedded.usage or Usage(prompt_tokens=tokens, total_tokens=tokens))
        yield End(provider=self._provider, model=embedded.model)
