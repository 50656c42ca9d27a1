"""Who calls: an API key, or in development a program on the same machine. And as whom it may speak.

The rules are those of DESIGN 4.2; what is not clearly allowed is refused, never ignored.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from dagi.access.decide import decide
from dagi.access.keys import KeyRecord, proves, split
from dagi.access.names import check_dao, check_identity, check_session
from dagi.errors import Denied, Invalid, Unauthenticated, UnsupportedMediaType
from dagi.message import SOURCES, Grant, Sender
from dagi.ports.clock import Clock
from dagi.ports.keys import KeyRing
from dagi.ports.members import Members
from dagi.services.face import Request

LOCAL_USER: Final = "dev:local"
# Identities that prove themselves, and those of commands and of the stack's own jobs in the audit; nobody may speak for them.
_OWN_KINDS: Final = ("key:", "dev:", "cli:", "system:")
# Whatever a proxy or a browser adds: a program on this machine sends none of them.
_FORWARDED: Final = re.compile(rb"forwarded|via|(x-(forwarded|original|real|client|envoy|cluster)|cf-|true-client|fastly-).*")
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::\d{1,5})?\Z")


class Caller(msgspec.Struct, frozen=True):
    """A proven caller; without a key it is a program on the developer's own machine."""

    key: KeyRecord | None = None

    @property
    def user_id(self) -> str:
        """The caller's own identity."""
        return LOCAL_USER if self.key is None else f"key:{self.key.id}"


class Callers:
    """Proves callers, and decides for whom they speak.

    Args:
        keyless: whether development's keyless access is on.
        default_dao: the DAO meant by a keyless call that names none.
    """

    def __init__(
        self, keys: KeyRing, members: Members, clock: Clock, *, keyless: bool, default_dao: Callable[[], str | None] = lambda: None
    ) -> None:
        self._keys = keys
        self._members = members
        self._clock = clock
        self._keyless = keyless
        self._default_dao = default_dao

    def prove(self, request: Request) -> Caller:
        """Who sends the request.

        Raises:
            Unauthenticated: no key, a wrong one, or a keyless call that is not from this machine.
            UnsupportedMediaType: a keyless body that is not JSON, which a web page could have sent.
        """
        given = request.headers.get(b"authorization")
        if given is not None:
            return self._by_key(given)
        if not self._keyless:
            raise Unauthenticated("Send a key: Authorization: Bearer <key>. `dagi key create` makes one.")
        why = _not_local(request)
        if why is not None:
            raise Unauthenticated(f"Without a key only programs on this machine are served, and {why}. Send Authorization: Bearer <key>.")
        if request.body and _media_type(request.headers) != b"application/json":
            raise UnsupportedMediaType("Without a key the body must be sent as content-type: application/json.")
        return Caller()

    def _by_key(self, given: bytes) -> Caller:
        scheme, _, token = given.partition(b" ")
        parts = split(token.strip().decode("latin-1")) if scheme.lower() == b"bearer" else None
        record = self._keys.find(parts[0]) if parts is not None else None
        if parts is None or record is None or not proves(record, parts[1], self._clock.now()):
            raise Unauthenticated("The key is unknown, revoked or expired. Send a valid one: Authorization: Bearer <key>.")
        return Caller(record)

    def sender(self, caller: Caller, claimed: Mapping[str, str], decision_id: str) -> Sender:
        """For whom the caller speaks.

        Args:
            claimed: `dao_id`, `user_id`, `source` and `session_id` as far as the request names them, already of the right form.

        Raises:
            Denied: the key may not speak for that user, or not in that DAO.
            Invalid: a keyless call has to name the DAO.
        """
        key, dao_id, user_id = caller.key, claimed.get("dao_id"), claimed.get("user_id") or caller.user_id
        if user_id != caller.user_id and user_id.startswith(_OWN_KINDS):
            raise _denied(key, "Nobody may speak for that identity.", "may_not_act_as", decision_id)
        if key is None:
            dao_id = dao_id or self._default_dao()
            if dao_id is None:
                raise Invalid("Name the DAO: metadata.dao_id.", field="metadata.dao_id")
        else:
            if dao_id not in {None, key.dao_id}:
                raise _denied(key, "The key belongs to another DAO.", "dao_mismatch", decision_id)
            if user_id != caller.user_id and not key.act_as:
                sentence = "The key may not speak for others. An admin can make one that may: `dagi key create --act-as`."
                raise _denied(key, sentence, "may_not_act_as", decision_id)
            dao_id = key.dao_id
        return Sender(
            dao_id=dao_id,
            user_id=user_id,
            source=claimed.get("source", "api"),  # pyright: ignore[reportArgumentType]
            session_id=claimed.get("session_id", ""),
            key_id="" if key is None else key.id,
        )

    def require(self, caller: Caller, entitlement: str) -> None:
        """Let the caller itself pass, for what operators see.

        Raises:
            Denied: its key's role does not have the entitlement.
        """
        if caller.key is not None:
            self.grant(caller.key).require(entitlement)

    def grant(self, key: KeyRecord) -> Grant:
        """What a key may do by itself."""
        sender = Sender(dao_id=key.dao_id, user_id=f"key:{key.id}")
        return decide(sender, self._members.standing(sender.dao_id, sender.user_id), self._clock.now(), "")


def _denied(key: KeyRecord | None, sentence: str, reason: str, decision_id: str) -> Denied:
    role = None if key is None else key.role
    denied = Denied(sentence, user_role=role, required_entitlement=None, reason=reason, decision_id=decision_id)
    return denied if key is None else denied.by(Sender(dao_id=key.dao_id, user_id=f"key:{key.id}", key_id=key.id))


def claims(metadata: Mapping[str, object]) -> dict[str, str]:
    """The sender's fields of a request's metadata, checked for their form.

    Raises:
        Invalid: one of them is not what it has to be.
    """
    found: dict[str, str] = {}
    for name, check in (("dao_id", check_dao), ("user_id", check_identity), ("session_id", check_session)):
        value = metadata.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise Invalid(f"metadata.{name} must be a text.", field=f"metadata.{name}")
        found[name] = check(value, f"metadata.{name}")
    source = metadata.get("source")
    if source is not None:
        if source not in SOURCES:
            raise Invalid("metadata.source is none there is.", field="metadata.source", allowed=list(SOURCES))
        found["source"] = str(source)
    return found


def _not_local(request: Request) -> str | None:
    """Why a keyless request cannot be from a program on this machine; None when it is."""
    if not _is_loopback(request.peer):
        return "this call comes from another one"
    if not _is_loopback_host(request.headers.get(b"host", b"")):
        return "the Host header does not name this machine"
    for name, value in request.headers.items():
        if name in {b"origin", b"referer"} or (name.startswith(b"sec-fetch-") and (name, value) != (b"sec-fetch-site", b"none")):
            return "this call comes from a web page"
        if _FORWARDED.fullmatch(name.replace(b"_", b"-")):
            return "this call was forwarded"
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_loopback_host(host: bytes) -> bool:
    match = _HOST.match(host.decode("latin-1").strip().lower())
    name = (match[1] or match[2]) if match is not None else ""
    return name == "localhost" or _is_loopback(name)


def _media_type(headers: Mapping[bytes, bytes]) -> bytes:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
