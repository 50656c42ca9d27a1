"""Where a platform delivers: `POST /{platform}/webhook` of the only bot, and `/{platform}/webhook/{name}` of each."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from dagi.errors import Missing
from dagi.services.face import Answer, Endpoint, Parameter, Request, path_values

D = TypeVar("D")


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """How a platform's webhooks are told of.

    Attributes:
        summary: such as "An update for a bot".
        about: what calls them, and what 200 means.
        nobody: there is none to deliver to.
        several: there are several; what to do follows.
        unknown: there is none of this name.
    """

    summary: str
    about: str
    nobody: str
    several: str
    unknown: str


class Webhooks(Generic[D]):
    """The webhooks of one platform.

    Args:
        doors: what takes deliveries, by the names in the configuration.
        taken: takes one.
        body: its form, for the description.
    """

    def __init__(
        self, platform: str, doors: Mapping[str, D], taken: Callable[[Request, D], Awaitable[Answer]], words: Words, body: type
    ) -> None:
        self._path = f"/{platform}/webhook"
        self._named_path = f"{self._path}/{{name}}"
        self._doors = doors
        self._taken = taken
        self._words = words
        self._body = body

    def endpoints(self) -> Sequence[Endpoint]:
        """What the gateway's table gets."""
        name = Parameter(name="name", description="Its name in the configuration", place="path")
        return [
            self._endpoint(self._path, self._only, "where there is one alone", ()),
            self._endpoint(self._named_path, self._named, "by its name", (name,)),
        ]

    def _endpoint(
        self, path: str, handler: Callable[[Request], Awaitable[Answer]], which: str, parameters: tuple[Parameter, ...]
    ) -> Endpoint:
        return Endpoint(
            method="POST",
            path=path,
            handler=handler,
            summary=f"{self._words.summary}, {which}",
            description=self._words.about,
            audience="public",
            takes=self._body,
            parameters=parameters,
            errors=(400, 401, 404, 503),
        )

    async def _only(self, request: Request) -> Answer:
        if not self._doors:
            raise Missing(self._words.nobody)
        if len(self._doors) > 1:
            raise Missing(f"{self._words.several} Name one: {self._named_path}.")
        return await self._taken(request, next(iter(self._doors.values())))

    async def _named(self, request: Request) -> Answer:
        door = self._doors.get(path_values(self._named_path, request.path)["name"])
        if door is None:
            raise Missing(self._words.unknown)
        return await self._taken(request, door)
