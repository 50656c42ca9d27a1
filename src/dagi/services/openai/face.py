"""All endpoints of OpenAI's API."""

from collections.abc import Sequence

import msgspec

from dagi.services.face import Endpoint
from dagi.services.openai.chat import ChatFace
from dagi.services.openai.embeddings import EmbeddingsFace
from dagi.services.openai.models import ModelsFace


class OpenAIFace(msgspec.Struct, frozen=True, kw_only=True):
    """The faces it consists of."""

    chat: ChatFace
    models: ModelsFace
    embeddings: EmbeddingsFace

    def endpoints(self) -> Sequence[Endpoint]:
        """Their endpoints."""
        return [*self.chat.endpoints(), *self.models.endpoints(), *self.embeddings.endpoints()]
