"""A JSON-RPC client for the nodes of EVM chains (ethereum.org/developers/docs/apis/json-rpc): the adapter of `dagi.ports.chain`.

A node is somebody else's computer. It gets bounded time, its answers are bounded in size and strict in form, and every exchange asks for
the chain's number as well, so that a node that was moved to another chain is found out before its word is taken.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from dagi.errors import OutsideFailure, OutsideTimeout
from dagi.ports.chain import Query, Reverted
from dagi.ports.http import HttpClient, HttpFailure, HttpRequest
from dagi.ports.secrets import shown

REPLY_LIMIT: Final = 1024 * 1024
MOST_AT_ONCE: Final = 50
_HEX: Final = re.compile(r"0x((?:[0-9a-fA-F]{2})*)\Z")
# Quantities have no leading zeros, and none we ask for is longer than 64 bits.
_QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,15})\Z")
# Code 3 is the reverts' own; older nodes say it in words.
_REVERTED: Final = 3
_REVERTED_WORDS: Final = re.compile(r"\brevert(ed)?\b", re.IGNORECASE)


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chain's node is. `url` may hold a provider's key and is never shown."""

    name: str
    chain_id: int
    url: str
    timeout_s: float = 5.0
    most_at_once: int = MOST_AT_ONCE

    def __repr__(self) -> str:
        return shown(self, "url")


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Reply(msgspec.Struct):
    id: int | None = None
    result: str | None = None
    error: _Error | None = None


_ONE: Final = msgspec.json.Decoder(_Reply)
_MANY: Final = msgspec.json.Decoder(list[_Reply])


class RpcChain:
    """One chain, seen through one node."""

    def __init__(self, http: HttpClient, node: Node) -> None:
        self._http = http
        self._node = node

    @property
    def name(self) -> str:
        """What the configuration calls the chain."""
        return self._node.name

    @property
    def chain_id(self) -> int:
        """The chain's number."""
        return self._node.chain_id

    async def call(self, query: Query, *, block: int | None = None) -> bytes:
        """See the port."""
        found = (await self.calls([query], block=block))[0]
        if found is None:
            raise Reverted
        return found

    async def calls(self, queries: Sequence[Query], *, block: int | None = None) -> list[bytes | None]:
        """See the port. Asks for up to 50 at once."""
        at = "latest" if block is None else hex(block)
        # One place of each exchange is taken by the question for the chain's number.
        size = max(1, self._node.most_at_once - 1)
        found: list[bytes | None] = []
        for start in range(0, len(queries), size):
            part = [("eth_call", [{"to": one.to, "data": "0x" + one.data.hex()}, at]) for one in queries[start : start + size]]
            found += [self._returned(reply) for reply in await self._ask(part)]
        return found

    async def block_number(self) -> int:
        """See the port."""
        (reply,) = await self._ask([("eth_blockNumber", [])])
        return self._quantity(reply)

    async def _ask(self, questions: Sequence[tuple[str, Sequence[object]]]) -> list[_Reply]:
        """The replies to the questions, in their order, from a node of the right chain."""
        asked = [
            {"jsonrpc": "2.0", "id": place, "method": method, "params": parameters}
            for place, (method, parameters) in enumerate([("eth_chainId", ()), *questions])
        ]
        try:
            async with asyncio.timeout(self._node.timeout_s):
                chain_id, *replies = await self._exchanged(asked)
        except TimeoutError as late:
            raise OutsideTimeout(f"The node of the chain {self.name} did not answer in time.", service=self.name) from late
        except HttpFailure as failure:
            raise self._failure("cannot be reached", str(failure)) from failure
        if (stands_on := self._quantity(chain_id)) != self.chain_id:
            raise self._failure("stands on another chain", f"it is chain {stands_on}, and {self.chain_id} is configured")
        return replies

    async def _exchanged(self, asked: Sequence[object]) -> list[_Reply]:
        if self._node.most_at_once > 1:
            try:
                replies = _MANY.decode(await self._posted(asked))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as mistake:
                raise self._failure("gave an answer that cannot be used", "it is no list of JSON-RPC replies") from mistake
        else:
            try:
                replies = [_ONE.decode(await self._posted(one)) for one in asked]
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as mistake:
                raise self._failure("gave an answer that cannot be used", "it is no JSON-RPC reply") from mistake
        # Replies of an array may come in any order.
        by_id = {reply.id: reply for reply in replies}
        if by_id.keys() != set(range(len(asked))) or len(replies) != len(asked):
            raise self._failure("gave an answer that cannot be used", "its replies do not belong to the questions")
        return [by_id[place] for place in range(len(asked))]

    async def _posted(self, body: object) -> bytes:
        headers = {"content-type": "application/json", "accept": "application/json"}
        # Questions are rare: a kept connection would mostly be one that the node has closed meanwhile.
        request = HttpRequest(method="POST", url=self._node.url, headers=headers, body=msgspec.json.encode(body), fresh=True)
        async with self._http.open(request) as response:
            if response.status != 200:
                raise self._failure("refused the question", f"HTTP status {response.status}")
            return await response.read(REPLY_LIMIT)

    def _returned(self, reply: _Reply) -> bytes | None:
        error = reply.error
        if error is not None and (error.code == _REVERTED or _REVERTED_WORDS.search(error.message[:1000])):
            return None
        match = _HEX.match(self._result(reply))
        if match is None:
            raise self._failure("gave an answer that cannot be used", "a result is not hexadecimal")
        return bytes.fromhex(match[1])

    def _quantity(self, reply: _Reply) -> int:
        match = _QUANTITY.match(self._result(reply))
        if match is None:
            raise self._failure("gave an answer that cannot be used", "a quantity is none")
        return int(match[1], 16)

    def _result(self, reply: _Reply) -> str:
        if reply.error is not None or reply.result is None:
            code = 0 if reply.error is None else reply.error.code
            raise self._failure("refused the question", f"JSON-RPC error {code}")
        return reply.result

    def _failure(self, what: str, detail: str) -> OutsideFailure:
        return OutsideFailure(f"The node of the chain {self.name} {what}.", service=self.name, detail=f"{what}: {detail}")


class RpcChains:
    """The configured chains by their numbers."""

    def __init__(self, http: HttpClient, nodes: Sequence[Node]) -> None:
        self.by_name = {node.name: RpcChain(http, node) for node in nodes}
        self._by_id = {chain.chain_id: chain for chain in self.by_name.values()}

    def by_id(self, chain_id: int) -> RpcChain | None:
        """The chain of that number; None where none is configured."""
        return self._by_id.get(chain_id)
