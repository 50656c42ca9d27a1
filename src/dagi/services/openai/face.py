"""All endpoints of OpenAI's API."""

from collections.abc import Sequence

import msgspec

from dagi.services.face import Endpoint
from dagi.services.openai.chat import ChatFace
from dagi.services.openai.embeddings import EmbeddingsFace
from dagi.services.openai.models import ModelsFace
from dagi.services.openai.responses import ResponsesFace


class OpenAIFace(msgspec.Struct, frozen=True, kw_only=True):
    """The faces it consists of."""

    chat: ChatFace
    models: ModelsFace
    embeddings: EmbeddingsFace
    responses: ResponsesFace

    def endpoints(self) -> Sequence[Endpoint]:
        """Their endpoints."""
        faces = (self.chat, self.models, self.embeddings, self.responses)
        return [endpoint for face in faces for endpoint in face.endpoints()]
