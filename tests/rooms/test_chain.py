"""Contracts asked over JSON-RPC: a real chain, and nodes that fail or lie."""

import json
from collections.abc import AsyncGenerator, Callable

import pytest

from dagi.chain.rpc import REPLY_LIMIT, Node, RpcChain, RpcChains
from dagi.errors import Invalid, OutsideFailure, OutsideTimeout
from dagi.outbound import Client
from dagi.ports.abi import UINT256_MAX, address, encoded, number, numbers
from dagi.ports.chain import Query, Reverted
from dagi.testing.local_chain import ACCOUNTS, CHAIN_ID, LocalChain
from dagi.testing.raw_server import raw_server

pytestmark = pytest.mark.anyio
BALANCE = "70a08231"  # balanceOf(address)
ANN, BEN, EVA = ACCOUNTS


def balance_of(token: str, owner: str) -> Query:
    return Query(token, encoded(BALANCE, address(owner)))


async def test_balances_of_each_standard_are_read_from_a_real_chain(chain: LocalChain) -> None:
    coin, picture, badges = [await chain.deploy(name) for name in ("Coin", "Picture", "Badges")]
    await coin.send("mint(address,uint256)", address(ANN), UINT256_MAX)
    await picture.send("mint(address,uint256)", address(BEN), 7)
    await badges.send("mint(address,uint256,uint256)", address(EVA), 5, 3)
    assert number(await coin.ask("balanceOf(address)", address(ANN))) == UINT256_MAX
    assert number(await picture.ask("balanceOf(address)", address(BEN))) == 1
    owners, ids = [address(ANN), address(EVA)], [5, 5]
    assert numbers(await badges.ask("balanceOfBatch(address[],uint256[])", owners, ids), 2) == [0, 3]


async def test_many_questions_are_answered_in_their_order_and_a_refusal_is_none_of_the_others(chain: LocalChain) -> None:
    coin = await chain.deploy("Coin")
    await chain.coins(coin, BEN, 9)
    queries = [*[balance_of(coin.address, BEN)] * 60, Query(coin.address, b"\x01\x02\x03\x04"), balance_of(coin.address, EVA)]
    found = await chain.client.calls(queries)
    assert [None if one is None else number(one) for one in found] == [9] * 60 + [None, 0]


async def test_a_node_that_takes_one_question_at_a_time_is_asked_that_way(chain: LocalChain) -> None:
    coin = await chain.deploy("Coin")
    async with Client() as http:
        slow = RpcChain(http, Node(name="local", chain_id=CHAIN_ID, url=chain.url, most_at_once=1))
        assert [number(one or b"") for one in await slow.calls([balance_of(coin.address, ANN)] * 2)] == [0, 0]


async def test_the_past_can_be_asked_too(chain: LocalChain) -> None:
    coin = await chain.deploy("Coin")
    before = await chain.client.block_number()
    await chain.coins(coin, ANN, 4)
    query = balance_of(coin.address, ANN)
    assert number(await chain.client.call(query, block=before)) == 0
    assert number(await chain.client.call(query)) == 4
    assert await chain.client.block_number() == before + 1


async def test_an_address_without_a_contract_returns_nothing_and_a_contract_without_the_function_refuses(chain: LocalChain) -> None:
    assert await chain.client.call(balance_of(EVA, ANN)) == b""
    assert number(b"") is None
    coin = await chain.deploy("Coin")
    with pytest.raises(Reverted):
        await chain.client.call(Query(coin.address, bytes.fromhex("ffffffff")))


async def test_a_node_of_another_chain_is_not_believed(chain: LocalChain) -> None:
    async with Client() as http:
        wrong = RpcChain(http, Node(name="mainnet", chain_id=1, url=chain.url))
        with pytest.raises(OutsideFailure, match="mainnet stands on another chain") as failure:
            await wrong.block_number()
    assert "31337" in failure.value.detail


def replies(*results: object) -> bytes:
    return json.dumps([{"jsonrpc": "2.0", "id": place, "result": result} for place, result in enumerate(results)]).encode()


@pytest.fixture
async def asked() -> AsyncGenerator[Callable[..., object]]:
    """Ask for a block number from a node that gives this answer."""
    async with Client() as http:

        async def ask(body: bytes, status: int = 200, **options: object) -> int:
            async def handle(reader, writer) -> None:
                await reader.readuntil(b"\r\n\r\n")
                head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()

            async with raw_server(handle) as url:
                return await RpcChain(http, Node(name="node", chain_id=1, url=url + "secret-key", **options)).block_number()

        yield ask


async def test_a_scripted_node_is_understood(asked) -> None:
    assert await asked(replies("0x1", "0x10")) == 16


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":0,"result":"0x1"}',
        replies("0x1"),
        replies("0x1", "0x10", "0x10"),
        replies("0x1", "16"),
        replies("0x1", "0x"),
        replies("0x1", "0x010"),
        replies("0x1", "0x" + "f" * 17),
        replies("0x1", 16),
        replies("0x1", None),
        replies("0x1", {"result": "0x10"}),
        replies({}, "0x10"),
        json.dumps([{"id": 0, "result": "0x1"}, {"id": 0, "result": "0x10"}]).encode(),
        json.dumps([{"id": "0", "result": "0x1"}, {"id": "1", "result": "0x10"}]).encode(),
        json.dumps([{"id": 0, "result": "0x1"}, {"id": 1, "error": {"code": -32005, "message": "limit"}}]).encode(),
        b" " * (REPLY_LIMIT + 1),
        b'[{"id":0,"result":"\xff"}]',
    ],
)
async def test_what_a_node_should_not_say_is_refused_and_never_quoted(asked, body: bytes) -> None:
    with pytest.raises(OutsideFailure) as failure:
        await asked(body)
    assert "secret-key" not in failure.value.message + failure.value.detail


async def test_a_node_that_refuses_or_is_not_there_is_named_without_its_address(asked) -> None:
    with pytest.raises(OutsideFailure, match="The node of the chain node refused") as failure:
        await asked(b"{}", 429)
    assert "429" in failure.value.detail
    async with Client() as http:
        gone = RpcChains(http, [Node(name="gone", chain_id=1, url="http://127.0.0.1:1/secret-key")])
        with pytest.raises(OutsideFailure, match="gone cannot be reached") as failure:
            await gone.by_name["gone"].block_number()
        assert "secret-key" not in failure.value.message + failure.value.detail
        assert gone.by_id(5) is None


async def test_a_node_that_does_not_answer_is_not_waited_for() -> None:
    async def silent(reader, _writer) -> None:
        await reader.read()

    async with Client() as http, raw_server(silent) as url:
        with pytest.raises(OutsideTimeout):
            await RpcChain(http, Node(name="slow", chain_id=1, url=url, timeout_s=0.05)).block_number()


async def test_calls_are_encoded_as_a_library_of_ethereum_encodes_them() -> None:
    import eth_abi

    token, code = "0x" + "aB" * 20, bytes(range(65))
    assert encoded(BALANCE, address(token)).hex() == BALANCE + eth_abi.encode(["address"], [token]).hex()
    ours = encoded("1626ba7e", 5, code)
    assert ours[4:] == eth_abi.encode(["bytes32", "bytes"], [(5).to_bytes(32, "big"), code])
    ours = encoded("4e1273f4", [1, address(token)], [UINT256_MAX, 0, 2])
    assert ours[4:] == eth_abi.encode(["address[]", "uint256[]"], [["0x" + "0" * 39 + "1", token], [UINT256_MAX, 0, 2]])
    assert numbers(eth_abi.encode(["uint256[]"], [[3, UINT256_MAX]]), 2) == [3, UINT256_MAX]
    assert numbers(eth_abi.encode(["uint256[]"], [[3, UINT256_MAX]]), 3) is None
    assert numbers(b"", 0) is None
    with pytest.raises(Invalid):
        address("0x12")
