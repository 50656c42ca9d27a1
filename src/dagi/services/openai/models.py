"""`GET /v1/models`: what a caller may write into `model`."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from dagi.errors import UnknownModel
from dagi.router import Router
from dagi.services.callers import Callers
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request
from dagi.services.openai.bodies import ROUTED
from dagi.services.openai.chat import OpenAIError

PLACES: Final = ("/v1/models", "/models")
# The stack does not know when a model was made, and what changes from call to call confuses those who compare lists.
CREATED: Final = 1_763_164_800
_NEEDED: Final = "chat.use"


class ModelBody(msgspec.Struct):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int = CREATED
    owned_by: str = "dagi-stack"


class ModelList(msgspec.Struct):
    """All models a caller may use."""

    data: list[ModelBody]
    object: Literal["list"] = "list"


class ModelsFace:
    """Lists models."""

    def __init__(self, router: Router, callers: Callers) -> None:
        self._router = router
        self._callers = callers

    async def models(self, request: Request) -> Answer:
        """GET /v1/models."""
        return Answer(body=encode(ModelList([ModelBody(name) for name in self._usable(request)])))

    async def model(self, request: Request) -> Answer:
        """GET /v1/models/{model}; the name may hold slashes."""
        name = request.path.partition("/models/")[2]
        if name not in self._usable(request):
            raise UnknownModel("There is no model of that name that you may use. GET /v1/models lists those there are.", model=name[:64])
        return Answer(body=encode(ModelBody(name)))

    def endpoints(self) -> Sequence[Endpoint]:
        """With and without `/v1`."""
        called = [Parameter(name="model", description="The model's id.", place="path")]
        found: list[Endpoint] = []
        for path in PLACES:
            found += (
                Endpoint(
                    method="GET",
                    path=path,
                    handler=self.models,
                    summary="Models that may be named (OpenAI)",
                    gives=ModelList,
                    fails=OpenAIError,
                    errors=(401,),
                ),
                Endpoint(
                    method="GET",
                    path=f"{path}/{{model}}",
                    greedy=True,
                    handler=self.model,
                    summary="One model (OpenAI)",
                    gives=ModelBody,
                    fails=OpenAIError,
                    parameters=called,
                    errors=(401, 404),
                ),
            )
        return found

    def _usable(self, request: Request) -> list[str]:
        caller = self._callers.prove(request)
        if caller.key is not None and not self._callers.grant(caller.key).allows(_NEEDED):
            return []
        targets = self._router.policy.targets
        chosen = sorted(targets.selectable() - {ROUTED})
        known = targets.describe(tuple(chosen)) if chosen else ()
        return [ROUTED, *(target.name for target in known if target.state != "not_configured")]
