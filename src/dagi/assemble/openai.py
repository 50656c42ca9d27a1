"""OpenAI's API, put together."""

from dagi.services.callers import Callers
from dagi.services.openai.chat import ChatFace
from dagi.services.openai.embeddings import EmbeddingsFace
from dagi.services.openai.face import OpenAIFace
from dagi.services.openai.models import ModelsFace
from dagi.services.openai.responses import ResponsesFace
from dagi.services.streams import Asking


def openai_face(asking: Asking, callers: Callers) -> OpenAIFace:
    """The faces it consists of."""
    return OpenAIFace(
        chat=ChatFace(asking, callers),
        models=ModelsFace(asking.router, callers),
        embeddings=EmbeddingsFace(asking.router, callers),
        responses=ResponsesFace(asking, callers),
    )
