"""The ways to link two accounts, each from its first step to the confirmation.

Whoever begins speaks for the account that has, or will have, the rights. A proof of the other account leads to a preview, which the
account it is shown to confirms. Where the proof comes from a browser (Discord), the browser gets a code for the account where it was
begun: so whoever was sent to Discord by somebody else sees whose account it would be, and nobody but the two together can finish.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec

from dagi.access import telegram_login
from dagi.access.link_codes import BITS, LIFETIME, grouped, read_code, spelled
from dagi.access.linking import check_linkable
from dagi.access.siwe import Challenge
from dagi.errors import Gone, Misconfigured, OutsideFailure, SwitchedOff
from dagi.identities.discord import DiscordLogin
from dagi.identities.wallets import Wallets
from dagi.ports.clock import Clock
from dagi.ports.identities import (
    DiscordProved,
    DiscordStart,
    NewCode,
    Pending,
    PendingKind,
    PendingLinks,
    PersonInfo,
    Persons,
    Preview,
    ProvedBy,
    Speaker,
    WalletChallenge,
)
from dagi.ports.observer import Observer
from dagi.ports.secrets import shown


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What linking stands on.

    Attributes:
        chance: a random number of so many bits.
        telegram_token: of the bot whose login proves Telegram accounts; empty where it is off.
        hold: how long a linked account gives nothing administrative.
    """

    persons: Persons
    pending: PendingLinks
    clock: Clock
    observer: Observer
    chance: Callable[[int], int]
    wallets: Wallets
    discord: DiscordLogin
    telegram_token: str = ""
    hold: timedelta = timedelta(hours=24)

    def __repr__(self) -> str:
        return shown(self, "telegram_token")


class _Asked(msgspec.Struct, frozen=True):
    request_id: str


class Linker:
    """Implements the port Linking."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # The platforms whose set-up was told to be wrong.
        self._misconfigured: set[str] = set()

    async def begin_code(self, speaker: Speaker) -> NewCode:
        """See the port."""
        await self._check(speaker)
        return await self._new_code(speaker.account)

    async def tell_code(self, speaker: Speaker, code: str) -> Preview:
        """See the port."""
        await self._check(speaker)
        pending = await self._parts.pending.take("code", read_code(code), speaker.account)
        # A code of a browser was begun at the account that tells it now; what is linked is what the browser has proved.
        account, other = (speaker.account, pending.account) if pending.other else (pending.account, speaker.account)
        return await self._preview(account, other, speaker.account, pending.proved_by)

    async def confirm(self, speaker: Speaker, secret: str) -> PersonInfo:
        """See the port."""
        await self._check(speaker)
        pending = await self._parts.pending.take("confirm", read_code(secret, "confirm"), speaker.account)
        return await self._parts.persons.link(pending.account, pending.other, pending.proved_by, speaker)

    async def challenge(self, speaker: Speaker, address: str | None, chain_id: int | None) -> WalletChallenge:
        """See the port."""
        await self._check(speaker)
        nonce, request_id = self._secret(), self._secret()
        challenge = self._parts.wallets.challenge(speaker.account, nonce, request_id, self._now)
        asked = self._parts.wallets.asked(challenge, address, chain_id)
        detail = msgspec.json.encode(_Asked(request_id)).decode()
        await self._keep("siwe", nonce, speaker.account, proved_by="siwe", detail=detail, began=challenge.began)
        return asked

    async def prove_wallet(self, speaker: Speaker, message: str, signature: str) -> Preview:
        """See the port."""
        await self._check(speaker)

        async def recall(nonce: str) -> Challenge:
            pending = await self._parts.pending.take("siwe", nonce, speaker.account)
            asked = msgspec.json.decode(pending.detail, type=_Asked)
            return self._parts.wallets.challenge(speaker.account, nonce, asked.request_id, pending.created_at)

        with self._told():
            wallet = await self._parts.wallets.proved(message, signature, recall, self._parts.clock.now)
        return await self._preview(speaker.account, wallet, speaker.account, "siwe")

    async def prove_telegram(self, speaker: Speaker, proof: str | Mapping[str, object]) -> Preview:
        """See the port."""
        await self._check(speaker)
        token = self._parts.telegram_token
        if not token:
            raise SwitchedOff("Linking by Telegram's login is not set up here. The operator can do that: identities.telegram.bot_token_env")
        if isinstance(proof, str):
            found, how = telegram_login.prove_mini_app(proof, token, self._now), "telegram_mini_app"
        else:
            found, how = telegram_login.prove_login(proof, token, self._now), "telegram_login"
        await self._parts.pending.once(found.digest, found.ends)
        return await self._preview(speaker.account, found.identity, speaker.account, how)

    async def begin_discord(self, speaker: Speaker) -> DiscordStart:
        """See the port."""
        await self._check(speaker)
        state, verifier = self._secret(), self._secret() + self._secret()
        url = self._parts.discord.url(state, verifier)
        pending = await self._keep("discord", state, speaker.account, proved_by="discord", detail=verifier)
        return DiscordStart(url=url, expires_at=pending.expires_at)

    async def finish_discord(self, state: str, code: str) -> DiscordProved:
        """See the port."""
        begun = await self._parts.pending.take("discord", read_code(state, "state"), "")
        if not code:
            raise Gone("Discord was not allowed to say who you are. Nothing was linked; begin again if you want to.")
        with self._told():
            account = await self._parts.discord.identity(code, begun.detail)
        self._misconfigured.clear()
        made = await self._new_code(account, only=begun.account, proved_by="discord")
        return DiscordProved(code=made.code, account=account, begun_at=begun.account, expires_at=made.expires_at)

    @contextmanager
    def _told(self) -> Generator[None]:
        """Tell the operator what a member is not told: why somebody outside could not be asked."""
        try:
            yield
        except Misconfigured as mistake:
            # Every member who tries meets it; the operator reads of it once.
            if mistake.service not in self._misconfigured:
                self._misconfigured.add(mistake.service)
                self._parts.observer.note("outside_misconfigured", level="error", service=mistake.service, why=mistake.detail)
            raise
        except OutsideFailure as failure:
            self._parts.observer.note("outside_failed", level="warning", service=failure.service, why=failure.detail)
            raise

    @property
    def _now(self) -> datetime:
        return self._parts.clock.now()

    async def _check(self, speaker: Speaker) -> None:
        check_linkable(speaker.account)
        await self._parts.persons.check_word(speaker)

    def _secret(self) -> str:
        return spelled(self._parts.chance(BITS))

    async def _new_code(self, account: str, *, only: str = "", proved_by: ProvedBy = "code") -> NewCode:
        secret = self._secret()
        pending = await self._keep("code", secret, account, other=only, proved_by=proved_by)
        return NewCode(code=grouped(secret), expires_at=pending.expires_at)

    async def _keep(
        self, kind: PendingKind, secret: str, account: str, *, proved_by: ProvedBy, began: datetime | None = None, **rest: str
    ) -> Pending:
        now = began or self._now
        pending = Pending(kind=kind, account=account, proved_by=proved_by, created_at=now, expires_at=now + LIFETIME, **rest)
        await self._parts.pending.keep(secret, pending)
        return pending

    async def _preview(self, account: str, other: str, shown_to: str, proved_by: ProvedBy) -> Preview:
        person, held = await self._parts.persons.would_link(account, other)
        made = self._secret()
        pending = await self._keep("confirm", made, account, other=other, shown_to=shown_to, proved_by=proved_by)
        return Preview(
            confirm=grouped(made),
            expires_at=pending.expires_at,
            accounts=(account, other),
            proved_by=proved_by,
            roles=person.roles,
            held=held,
            held_until=self._now + self._parts.hold if held else None,
        )
