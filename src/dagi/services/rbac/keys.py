"""`/daos/{dao_id}/keys`: API keys of a DAO."""

from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from dagi.access.limits import MICROS, UNLIMITED, Quota
from dagi.errors import Invalid, Missing
from dagi.ports.administration import Administration, KeyInfo, NewKey
from dagi.services.errors import encode
from dagi.services.face import JSON, Answer, Endpoint, Request, path_values
from dagi.services.rbac.door import Door, Visitor
from dagi.services.rbac.endpoints import AS, DAO, Done, Place
from dagi.services.reading import query, read, time

KEYS: Final = DAO + "/keys"
KEY: Final = KEYS + "/{key_id}"
ROTATE: Final = KEY + "/rotate"
_UNTIL: Final = "A time with its zone, for example 2026-12-31T18:00:00Z"
_LONGEST_OVERLAP_S: Final = 30 * 24 * 3600
Amount = Annotated[
    float | None, msgspec.Meta(description="A limit of the key's own; null leaves it as it is, -1 lifts it whatever the default says.")
]


class Amounts(msgspec.Struct, forbid_unknown_fields=True):
    """Limits of a key's own. Money in the currency of the price table."""

    rpm: Amount = None
    tokens_per_day: Amount = None
    money_per_month: Amount = None


class NewKeyBody(Amounts, forbid_unknown_fields=True):
    """A key to make."""

    role: str = msgspec.field(default="")
    label: str = ""
    act_as: bool = False
    expires_at: Annotated[str | None, msgspec.Meta(description=f"{_UNTIL}; it lasts where left out.")] = None


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """For how many seconds the old secret still counts, and when the key ends."""

    overlap_s: int = 24 * 3600
    expires_at: Annotated[str | None, msgspec.Meta(description=f"{_UNTIL}; its end stays where left out.")] = None


class KeyMade(msgspec.Struct):
    """A key; it is shown this once."""

    request_id: str
    id: str
    key: str
    dao_id: str
    role: str
    expires_at: datetime | None
    previous_until: datetime | None


class KeyBody(msgspec.Struct):
    """A key without its secret. Limits: null for the default, -1 for none."""

    id: str
    role: str
    label: str
    act_as: bool
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    previous_until: datetime | None
    rpm: int | None
    tokens_per_day: int | None
    money_per_month: float | None


class KeysReply(msgspec.Struct):
    """The DAO's keys, oldest first."""

    request_id: str
    dao_id: str
    keys: list[KeyBody]


class KeyReply(msgspec.Struct):
    """One key."""

    request_id: str
    dao_id: str
    key: KeyBody


class KeysFace:
    """Keys of DAOs."""

    def __init__(self, door: Door, administration: Administration) -> None:
        self._door = door
        self._administration = administration

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            Place("GET", KEYS).endpoint(self.list, "Keys", gives=KeysReply),
            Place("POST", KEYS).endpoint(self.create, "Make a key, shown once", takes=NewKeyBody, gives=KeyMade),
            Place("GET", KEY).endpoint(self.show, "One key", gives=KeyReply),
            Place("PATCH", KEY).endpoint(self.limit, "Change a key's own limits", takes=Amounts, gives=KeyReply),
            Place("DELETE", KEY).endpoint(self.revoke, "End a key for good"),
            Place("POST", ROTATE).endpoint(self.rotate, "Give a key a new secret, shown once", takes=Rotation, gives=KeyMade),
        )

    async def list(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/keys."""
        visitor = self._enter(request, KEYS)
        visitor.require("key.manage")
        found = await self._administration.keys(visitor.actor).all(visitor.dao_id)
        return Answer(body=encode(KeysReply(request.id, visitor.dao_id, [_key(one) for one in found])))

    async def create(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/keys."""
        visitor = self._enter(request, KEYS)
        wanted = read(NewKeyBody, request)
        if not wanted.role:
            raise Invalid("Name the role the key shall have.", field="role")
        made = await self._administration.keys(visitor.actor).create(
            visitor.dao_id,
            wanted.role,
            label=wanted.label,
            act_as=wanted.act_as,
            expires_at=time(wanted.expires_at, "expires_at"),
            quota=Quota(**_changes(wanted)),
        )
        return _made(request, made)

    async def show(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/keys/{key_id}."""
        visitor, key_id = await self._enter_for(request, KEY)
        return self._one(request, await self._administration.keys(visitor.actor).show(key_id))

    async def limit(self, request: Request) -> Answer:
        """PATCH /daos/{dao_id}/keys/{key_id}."""
        visitor, key_id = await self._enter_for(request, KEY)
        changed = await self._administration.keys(visitor.actor).limit(key_id, _changes(read(Amounts, request)))
        return self._one(request, changed)

    async def revoke(self, request: Request) -> Answer:
        """DELETE /daos/{dao_id}/keys/{key_id}."""
        visitor, key_id = await self._enter_for(request, KEY)
        await self._administration.keys(visitor.actor).revoke(key_id)
        return Answer(body=encode(Done(request.id)))

    async def rotate(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/keys/{key_id}/rotate."""
        visitor, key_id = await self._enter_for(request, ROTATE)
        wanted = read(Rotation, request)
        if not 0 <= wanted.overlap_s <= _LONGEST_OVERLAP_S:
            raise Invalid(f"overlap_s is a number of seconds from 0 to {_LONGEST_OVERLAP_S}.", field="overlap_s")
        made = await self._administration.keys(visitor.actor).rotate(
            key_id, overlap=timedelta(seconds=wanted.overlap_s), expires_at=time(wanted.expires_at, "expires_at")
        )
        return _made(request, made)

    def _enter(self, request: Request, template: str) -> Visitor:
        return self._door.enter(request, query(request, (AS,)), path_values(template, request.path)["dao_id"])

    async def _enter_for(self, request: Request, template: str) -> tuple[Visitor, str]:
        """The visitor and the id of a key of its DAO; of other DAOs' keys it learns nothing."""
        visitor, key_id = self._enter(request, template), path_values(template, request.path)["key_id"]
        visitor.require("key.manage")
        try:
            found = await self._administration.keys(visitor.actor).show(key_id)
        except Missing:
            found = None
        if found is None or found.dao_id != visitor.dao_id:
            raise Missing(f"The DAO {visitor.dao_id} has no key {key_id[:40]!r}.", key=key_id[:40])
        return visitor, key_id

    def _one(self, request: Request, found: KeyInfo) -> Answer:
        return Answer(body=encode(KeyReply(request.id, found.dao_id, _key(found))))


def _made(request: Request, made: NewKey) -> Answer:
    headers = [JSON, (b"cache-control", b"no-store")]
    return Answer(headers=headers, body=encode(KeyMade(request.id, **msgspec.structs.asdict(made))))


def _key(found: KeyInfo) -> KeyBody:
    money = found.money_per_month
    body = msgspec.to_builtins(found) | {"money_per_month": money if money is None or money == UNLIMITED else money / MICROS}
    return msgspec.convert(body, KeyBody)


def _changes(wanted: Amounts) -> dict[str, int | None]:
    """The limits that are named, as they are stored: money in millionths."""
    changes: dict[str, int | None] = {}
    for name, most in (("rpm", 1_000_000), ("tokens_per_day", 10**15), ("money_per_month", 10**9)):
        value: float | None = getattr(wanted, name)
        if value is None:
            continue
        whole = name != "money_per_month"
        if value != UNLIMITED and (not 0 <= value <= most or (whole and (value < 1 or value != int(value)))):
            raise Invalid(f"{name} is a number from {1 if whole else 0} to {most}, or -1 for no limit.", field=name)
        changes[name] = int(value) if whole or value == UNLIMITED else round(value * MICROS)
    return changes
