"""`/identities`: one person, many accounts. Each proof is shown as a preview first, and then confirmed."""

from collections.abc import Callable
from typing import Final

import msgspec

from dagi.access.actor import Actor
from dagi.access.names import check_identity
from dagi.catalogue import say
from dagi.errors import Invalid
from dagi.ports.identities import IdentityAdmin, Linking, PersonInfo, Persons, Preview, Speaker
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Parameter, Request, path_values
from dagi.services.openapi import PAGE
from dagi.services.rbac.discord_page import callback
from dagi.services.rbac.door import Door, Visitor
from dagi.services.rbac.endpoints import AS, BY_QUERY, DAO, Place
from dagi.services.rbac.identity_bodies import (
    ChallengeBody,
    ChallengeReply,
    CodeBody,
    CodeReply,
    DiscordBody,
    DiscordReply,
    LinkBody,
    LinkReply,
    PersonReply,
    SiweBody,
    TelegramBody,
    TransferBody,
    accounts_of,
    previewed,
)
from dagi.services.reading import query, read

IDENTITIES: Final = "/identities"
OWN: Final = IDENTITIES + "/{identity}"
CODES: Final = IDENTITIES + "/codes"
LINK: Final = IDENTITIES + "/link"
SIWE: Final = IDENTITIES + "/siwe"
CHALLENGE: Final = SIWE + "/challenge"
TELEGRAM: Final = IDENTITIES + "/telegram"
DISCORD: Final = IDENTITIES + "/discord"
CALLBACK: Final = DISCORD + "/callback"
MANAGED: Final = DAO + "/identities/{identity}"
TRANSFER: Final = MANAGED + "/transfer"
# Statuses beside the usual ones: too often; over; switched off; a chain's node that cannot be asked.
_OFTEN: Final = (429,)
_OVER: Final = (410, 429)
_OFF: Final = (429, 503)
_OUTSIDE: Final = (410, 429, 502, 503, 504)
# Signed messages, mini apps' data and codes are short; whoever sends more means nothing good.
_LONGEST: Final = 20_000


class Identities(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoints call. `admin`: accounts of others, for whoever acts."""

    linking: Linking
    persons: Persons
    admin: Callable[[Actor], IdentityAdmin]


class IdentitiesFace:
    """A member's own accounts, and those of others for whoever manages members."""

    def __init__(self, door: Door, identities: Identities) -> None:
        self._door = door
        self._linking = identities.linking
        self._persons = identities.persons
        self._admin = identities.admin

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (*self._own(), *self._proofs(), *self._managed())

    def _own(self) -> tuple[Endpoint, ...]:
        also = (BY_QUERY,)
        return (
            Place("GET", IDENTITIES).endpoint(self.list, "One's own accounts", gives=PersonReply, also=also),
            Place("POST", CODES).endpoint(
                self.code, "A code to link another account", takes=CodeBody, gives=CodeReply, also=also, errors=_OFTEN
            ),
            Place("POST", LINK).endpoint(
                self.link, "Tell a code, or confirm a preview", takes=LinkBody, gives=LinkReply, also=also, errors=_OVER
            ),
            Place("DELETE", OWN).endpoint(self.unlink, "Unlink one of one's own accounts", gives=PersonReply, also=also),
        )

    def _proofs(self) -> tuple[Endpoint, ...]:
        also = (BY_QUERY,)
        return (
            Place("POST", CHALLENGE).endpoint(
                self.challenge, "What a wallet has to sign (EIP-4361)", takes=ChallengeBody, gives=ChallengeReply, also=also, errors=_OFF
            ),
            Place("POST", SIWE).endpoint(self.siwe, "A wallet's signature", takes=SiweBody, gives=LinkReply, also=also, errors=_OUTSIDE),
            Place("POST", TELEGRAM).endpoint(
                self.telegram, "What Telegram has signed", takes=TelegramBody, gives=LinkReply, also=also, errors=_OUTSIDE
            ),
            Place("POST", DISCORD).endpoint(self.discord, "Go to Discord", takes=DiscordBody, gives=DiscordReply, also=also, errors=_OFF),
            Endpoint(
                method="GET",
                path=CALLBACK,
                handler=self.callback,
                summary="Where Discord sends the browser back to",
                audience="public",
                description="A page for people, whatever happens.",
                gives_text=PAGE,
                parameters=tuple(Parameter(name=name, description="As Discord gives it.") for name in ("state", "code", "error")),
            ),
        )

    def _managed(self) -> tuple[Endpoint, ...]:
        return (
            Place("GET", MANAGED).endpoint(self.show, "A member's accounts", gives=PersonReply),
            Place("DELETE", MANAGED).endpoint(self.take, "Unlink a member's account", gives=PersonReply),
            Place("POST", TRANSFER).endpoint(self.transfer, "Give an account to another member", takes=TransferBody, gives=PersonReply),
        )

    async def list(self, request: Request) -> Answer:
        """GET /identities."""
        visitor = self._enter(request)
        found = await self._persons.show(visitor.user_id)
        if visitor.dao_id not in found.roles:
            # Whoever speaks for people in a DAO learns nothing about those who are none of its members.
            found = PersonInfo(identities=tuple(one for one in found.identities if one.id == visitor.user_id))
        return self._person(request, visitor, found)

    async def code(self, request: Request) -> Answer:
        """POST /identities/codes."""
        visitor, wanted = self._enter(request), read(CodeBody, request)
        _only_privately(private=wanted.private)
        made = await self._linking.begin_code(_speaker(visitor))
        message = say(wanted.language, "link.code", code=made.code)
        return Answer(body=encode(CodeReply(request.id, visitor.user_id, made.code, made.expires_at, message)))

    async def link(self, request: Request) -> Answer:
        """POST /identities/link."""
        visitor, wanted = self._enter(request), read(LinkBody, request)
        if (wanted.code is None) == (wanted.confirm is None):
            raise Invalid("Send either a code or a confirm.", field="code")
        if wanted.code is not None:
            return self._preview(request, visitor, await self._linking.tell_code(_speaker(visitor), wanted.code), wanted.language)
        found = await self._linking.confirm(_speaker(visitor), wanted.confirm or "")
        accounts = ", ".join(one.id for one in found.identities)
        reply = LinkReply(
            request.id, linked=True, message=say(wanted.language, "link.done", accounts=accounts), identities=accounts_of(found)
        )
        return Answer(body=encode(reply))

    async def challenge(self, request: Request) -> Answer:
        """POST /identities/siwe/challenge."""
        visitor, wanted = self._enter(request), read(ChallengeBody, request)
        asked = await self._linking.challenge(_speaker(visitor), wanted.address, wanted.chain_id)
        reply = ChallengeReply(
            request_id=request.id,
            domain=asked.domain,
            uri=asked.uri,
            statement=asked.statement,
            version=asked.version,
            chain_id=asked.chain_id,
            chain_ids=list(asked.chain_ids),
            nonce=asked.nonce,
            id=asked.request_id,
            issued_at=asked.issued_at,
            expiration_time=asked.expiration_time,
            text=asked.message,
            message=say(wanted.language, "link.wallet"),
        )
        return Answer(body=encode(reply))

    async def siwe(self, request: Request) -> Answer:
        """POST /identities/siwe."""
        visitor, wanted = self._enter(request), read(SiweBody, request)
        found = await self._linking.prove_wallet(_speaker(visitor), wanted.message, wanted.signature)
        return self._preview(request, visitor, found, wanted.language)

    async def telegram(self, request: Request) -> Answer:
        """POST /identities/telegram."""
        visitor, wanted = self._enter(request), read(TelegramBody, request)
        proof = wanted.init_data if wanted.login is None else wanted.login
        if proof is None or (wanted.init_data is not None and wanted.login is not None):
            raise Invalid("Send either init_data or login.", field="init_data")
        return self._preview(request, visitor, await self._linking.prove_telegram(_speaker(visitor), proof), wanted.language)

    async def discord(self, request: Request) -> Answer:
        """POST /identities/discord."""
        visitor, wanted = self._enter(request), read(DiscordBody, request)
        _only_privately(private=wanted.private)
        begun = await self._linking.begin_discord(_speaker(visitor))
        message = say(wanted.language, "link.discord", url=begun.url)
        return Answer(body=encode(DiscordReply(request.id, begun.url, begun.expires_at, message)))

    async def callback(self, request: Request) -> Answer:
        """GET /identities/discord/callback."""
        return await callback(request, self._linking)

    async def unlink(self, request: Request) -> Answer:
        """DELETE /identities/{identity}."""
        visitor, account = self._enter(request), _identity(request, OWN)
        return self._person(request, visitor, await self._persons.unlink(account, _speaker(visitor)))

    async def show(self, request: Request) -> Answer:
        """GET /daos/{dao_id}/identities/{identity}."""
        visitor = self._enter_dao(request, MANAGED)
        found = await self._admin(visitor.actor).show(visitor.dao_id, _identity(request, MANAGED))
        return self._person(request, visitor, found)

    async def take(self, request: Request) -> Answer:
        """DELETE /daos/{dao_id}/identities/{identity}."""
        visitor = self._enter_dao(request, MANAGED)
        found = await self._admin(visitor.actor).unlink(_identity(request, MANAGED), visitor.dao_id)
        return self._person(request, visitor, found)

    async def transfer(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/identities/{identity}/transfer."""
        visitor = self._enter_dao(request, TRANSFER)
        to = check_identity(read(TransferBody, request).to, "to")
        found = await self._admin(visitor.actor).transfer(_identity(request, TRANSFER), to, visitor.dao_id)
        return self._person(request, visitor, found)

    def _enter(self, request: Request) -> Visitor:
        if len(request.body) > _LONGEST:
            raise Invalid(f"The body is longer than {_LONGEST} bytes; nothing that is told here is.", field="body")
        values = query(request, ("dao_id", AS))
        return self._door.enter(request, values, values.get("dao_id"))

    def _enter_dao(self, request: Request, template: str) -> Visitor:
        return self._door.enter(request, query(request, (AS,)), path_values(template, request.path)["dao_id"])

    def _person(self, request: Request, visitor: Visitor, found: PersonInfo) -> Answer:
        roles = list(found.roles.get(visitor.dao_id, ()))
        return Answer(body=encode(PersonReply(request.id, visitor.dao_id, accounts_of(found), roles)))

    def _preview(self, request: Request, visitor: Visitor, found: Preview, language: str) -> Answer:
        account, other = found.accounts
        sentences = [say(language, "link.preview", account=account, other=other)]
        if found.held_until is not None:
            sentences.append(say(language, "link.held", until=f"{found.held_until:%Y-%m-%d %H:%M}", accounts=", ".join(found.held)))
        reply = LinkReply(request.id, linked=False, message="\n".join(sentences), preview=previewed(found, visitor.dao_id))
        return Answer(body=encode(reply))


def _speaker(visitor: Visitor) -> Speaker:
    return Speaker(account=visitor.user_id, key_id=visitor.actor.key_id, dao_id=visitor.dao_id)


def _identity(request: Request, template: str) -> str:
    return check_identity(path_values(template, request.path)["identity"], "identity")


def _only_privately(*, private: bool) -> None:
    if not private:
        raise Invalid(
            "This is for a private chat alone, where nobody else reads it. Send private: true if it is one; never do this in a group.",
            field="private",
        )
