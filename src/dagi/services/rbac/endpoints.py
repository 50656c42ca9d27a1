"""Endpoints of the rbac service: what all of them have in common is said once."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from dagi.services.face import Endpoint, Handler, Parameter, path_values

AS: Final = "as"
BEHALF: Final = Parameter(
    name=AS,
    description="The account on whose behalf a caller with `act_as` acts, for example tg:12345; the caller itself where left out. "
    "The key's own role bounds what it can do for anybody.",
)
DAO: Final = "/daos/{dao_id}"
BY_QUERY: Final = Parameter(name="dao_id", description="The DAO; the key's own where left out.")
_PLACES: Final[Mapping[str, str]] = {
    "dao_id": "The DAO.",
    "user_id": "Any account of the person, for example tg:12345.",
    "role": "The role's name.",
    "key_id": "The key's id.",
    "invitation_id": "The invitation's id.",
    "number": "The proposal's number.",
    "rule_id": "The rule's id.",
    "identity": "The account, for example dc:987.",
}
_ERRORS: Final = (400, 401, 403, 404, 409)


class Done(msgspec.Struct):
    """It is done."""

    request_id: str
    status: Literal["success"] = "success"


class Place(msgspec.Struct, frozen=True):
    """A method of a path; the path's parameters are described by their names."""

    method: str
    path: str

    def endpoint(
        self,
        handler: Handler,
        summary: str,
        *,
        gives: type = Done,
        takes: type | None = None,
        also: Sequence[Parameter] = (),
        errors: Sequence[int] = (),
    ) -> Endpoint:
        """The endpoint there, which knows on whose behalf it is called.

        Args:
            also: parameters of the query beside `as`.
            errors: statuses beside the usual ones.
        """
        named = path_values(self.path, self.path)
        return Endpoint(
            method=self.method,
            path=self.path,
            handler=handler,
            summary=summary,
            takes=takes,
            gives=gives,
            parameters=(*(Parameter(name=name, description=_PLACES[name], place="path") for name in named), BEHALF, *also),
            errors=(*_ERRORS, *errors),
        )
