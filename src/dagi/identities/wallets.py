"""Sign-In with Ethereum: what a wallet is asked to sign, and whether it did. Plain accounts sign with their key; contracts are asked
(EIP-1271).
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import msgspec

from dagi.access import siwe
from dagi.access.siwe import Challenge, SiweMessage
from dagi.access.wallets import PLAIN_SIGNATURE, check_plain, checksummed, personal_digest, signature_bytes, wallet_identity
from dagi.errors import Invalid, SwitchedOff
from dagi.ports.abi import encoded
from dagi.ports.chain import Chains, Query, Reverted
from dagi.ports.identities import WalletChallenge
from dagi.ports.signatures import Signatures

# isValidSignature(bytes32,bytes), which is also what it returns where the signature is good.
_IS_VALID: Final = "1626ba7e"
_GOOD: Final = bytes.fromhex(_IS_VALID) + bytes(28)


# Gives the challenge with a nonce, and uses it up.
Recall = Callable[[str], Awaitable[Challenge]]


class SiweSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where wallets sign, and what for; without a domain nobody does. `statement` is followed by the account that is linked."""

    domain: str = ""
    uri: str = ""
    statement: str = ""
    chain_ids: tuple[int, ...] = (1,)


class Wallets:
    """Asks wallets, and understands their answers."""

    def __init__(self, settings: SiweSettings, signatures: Signatures, chains: Chains) -> None:
        self._settings = settings
        self._signatures = signatures
        self._chains = chains

    def challenge(self, account: str, nonce: str, request_id: str, began: datetime) -> Challenge:
        """What has to be signed to link a wallet to the account.

        Raises:
            SwitchedOff: no domain is configured.
        """
        if not self._settings.domain:
            raise SwitchedOff("Sign-In with Ethereum is not set up here. The operator can do that: identities.siwe.domain")
        return Challenge(
            domain=self._settings.domain,
            uri=self._settings.uri,
            # EIP-4361 has no quotation marks; an identity has no character that it lacks.
            statement=f"{self._settings.statement} Account: {account}",
            nonce=nonce,
            request_id=request_id,
            chain_ids=self._settings.chain_ids,
            began=began,
            ends=began + siwe.LIFETIME,
        )

    def asked(self, challenge: Challenge, address: str | None, chain_id: int | None) -> WalletChallenge:
        """The same for whoever shows it to the wallet.

        Raises:
            Invalid: no address, or a chain that is not allowed.
        """
        chosen = challenge.chain_ids[0] if chain_id is None else chain_id
        if chosen not in challenge.chain_ids:
            raise Invalid("Wallets of that chain are not taken here.", field="chain_id", allowed=sorted(challenge.chain_ids))
        bare = SiweMessage(
            address="",
            domain=challenge.domain,
            uri=challenge.uri,
            statement=challenge.statement,
            chain_id=chosen,
            nonce=challenge.nonce,
            request_id=challenge.request_id,
            issued_at=_written(challenge.began),
            expiration_time=_written(challenge.ends),
        )
        message = None
        if address is not None:
            spelled = checksummed(wallet_identity(address).partition(":")[2])
            message = msgspec.structs.replace(bare, address=spelled).text()
        return WalletChallenge(
            domain=challenge.domain,
            uri=challenge.uri,
            statement=challenge.statement,
            version="1",
            chain_id=chosen,
            chain_ids=tuple(challenge.chain_ids),
            nonce=challenge.nonce,
            request_id=challenge.request_id,
            issued_at=bare.issued_at,
            expiration_time=_written(challenge.ends),
            message=message,
        )

    async def proved(self, text: str, signature: str, recall: Recall, now: Callable[[], datetime]) -> str:
        """The identity of the wallet that has signed.

        Args:
            recall: for the message's nonce.

        Raises:
            Invalid: the message or the signature is not what was asked for.
            Gone: the challenge was used, or its time is over.
            OutsideFailure: the wallet is a contract, and its chain's node cannot be asked.
        """
        message, signed = siwe.parse(text), signature_bytes(signature)
        siwe.check(message, await recall(message.nonce), now())
        if not await self._is_signers(message, text, signed):
            raise Invalid("The signature is not this wallet's for this message.", field="signature")
        return wallet_identity(message.address)

    async def _is_signers(self, message: SiweMessage, text: str, signature: bytes) -> bool:
        digest, address = personal_digest(text), message.address.lower()
        if len(signature) == PLAIN_SIGNATURE and signature[-1] in {0, 1}:
            # Some hardware wallets count v from 0.
            signature = signature[:-1] + bytes([signature[-1] + 27])
        plain: Invalid | None = None
        try:
            check_plain(signature)
        except Invalid as mistake:
            plain = mistake
        else:
            if await self._signatures.signer(digest, signature) == address:
                return True
        if self._chains.by_id(message.chain_id) is None:
            raise plain or Invalid(
                "The signature is not this wallet's. If the wallet is a contract (a Safe, for example), its chain has to be asked, and "
                f"none with id {message.chain_id} is configured here.",
                field="signature",
            )
        return await self._do_contracts_agree(message, Query(address, encoded(_IS_VALID, int.from_bytes(digest, "big"), signature)))

    async def _do_contracts_agree(self, message: SiweMessage, query: Query) -> bool:
        """Whether the contract at the address takes the signature, on every chain we know where there is one.

        Somebody else can own the contract at the same address of another chain.
        """
        for chain_id in {message.chain_id, *self._settings.chain_ids}:
            chain = self._chains.by_id(chain_id)
            if chain is None:
                continue
            try:
                said = await chain.call(query)
            except Reverted:
                return False
            nobody_there = said == b"" and chain_id != message.chain_id
            if said != _GOOD and not nobody_there:
                return False
        return True


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
