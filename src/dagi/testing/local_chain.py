"""A real chain on this machine for tests: anvil, with tokens of each standard and a wallet that is a contract."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import cast

from dagi.access.wallets import personal_digest
from dagi.ports.abi import Value, address, encoded
from dagi.ports.chain import Chain, Query
from dagi.ports.http import HttpClient, HttpRequest

CHAIN_ID = 31337
# Anvil's first accounts and their keys, which everybody knows: they are made from its published sentence of test words.
ACCOUNTS = (
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
)
PRIVATE_KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
)


def signed(text: str, private_key: str) -> str:
    """What a wallet with that key answers when it is asked to sign the text. Needs the extra `wallets`."""
    from eth_keys.datatypes import PrivateKey  # noqa: PLC0415 - an extra

    signature = PrivateKey(bytes.fromhex(private_key[2:])).sign_msg_hash(personal_digest(text)).to_bytes()
    return f"0x{signature[:64].hex()}{signature[64] + 27:02x}"


class Contract:
    """A contract on the chain, asked and told by its functions' signatures."""

    def __init__(self, chain: "LocalChain", where: str, selectors: dict[str, str]) -> None:
        self._chain = chain
        self.address = where
        self._selectors = selectors

    async def send(self, signature: str, *values: Value) -> None:
        """Change it: `await coin.send("mint(address,uint256)", address(owner), 5)`."""
        await self._chain.send({"to": self.address, "data": "0x" + encoded(self._selectors[signature], *values).hex()})

    async def ask(self, signature: str, *values: Value) -> bytes:
        """Ask it, through the client under test."""
        return await self._chain.client.call(Query(self.address, encoded(self._selectors[signature], *values)))


class LocalChain:
    """A running anvil, where every transaction gets a block of its own.

    Attributes:
        client: what is under test, asking this chain.
    """

    def __init__(self, url: str, http: HttpClient, client: Chain) -> None:
        self.url = url
        self._http = http
        self.client = client
        self._contracts = json.loads(files("dagi.testing").joinpath("contracts.json").read_text(encoding="utf-8"))

    async def rpc(self, method: str, *parameters: object) -> object:
        """Anything the node knows, for example `anvil_mine` or `evm_increaseTime`."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = HttpRequest(method="POST", url=self.url, headers={"content-type": "application/json"}, body=body, fresh=True)
        async with self._http.open(request) as response:
            answer = json.loads(await response.read(10_000_000))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    async def send(self, transaction: dict[str, object]) -> dict[str, object]:
        """A transaction from the first account; its receipt."""
        transaction = {"from": ACCOUNTS[0], "gas": hex(3_000_000), **transaction}
        sent = await self.rpc("eth_sendTransaction", transaction)
        async with asyncio.timeout(10):
            # The block is made right after the answer, not before it.
            while not isinstance(receipt := await self.rpc("eth_getTransactionReceipt", sent), dict):  # noqa: ASYNC110 (another process makes it)
                await asyncio.sleep(0.002)
        if receipt["status"] != "0x1":
            raise RuntimeError("the contract refused the transaction")
        return receipt

    async def deploy(self, name: str, *values: int) -> Contract:
        """A new contract: `Coin` (ERC-20), `Picture` (ERC-721), `Badges` (ERC-1155), or `Wallet` of an owner (EIP-1271)."""
        made = self._contracts[name]
        receipt = await self.send({"data": "0x" + made["bytecode"] + encoded("", *values).hex()})
        return Contract(self, str(receipt["contractAddress"]), made["selectors"])

    async def coins(self, coin: Contract, owner: str, amount: int) -> None:
        """Mint ERC-20 coins."""
        await coin.send("mint(address,uint256)", address(owner), amount)


@asynccontextmanager
async def local_chain(
    program: Path | str, http: HttpClient, client: Callable[[str], Chain], options: Sequence[str] = ()
) -> AsyncGenerator[LocalChain]:
    """Start anvil on a free port and wait until it answers; end it when the context is left.

    Args:
        program: where anvil is.
        client: what is under test, made for the URL of the node.
        options: of its command line, for example `--chain-id 1`.
    """
    command = (str(program), "--host", "127.0.0.1", "--port", "0", *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    said = cast("asyncio.StreamReader", process.stdout)
    drained: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(20):
            # It prints its accounts, then where it listens.
            while b"Listening on" not in (line := await said.readline()):
                if not line:
                    raise RuntimeError("anvil did not start")
        drained = asyncio.create_task(said.read())
        url = "http://" + line.decode().split("Listening on")[1].strip()
        yield LocalChain(url, http, client(url))
    finally:
        process.kill()
        await process.wait()
        if drained is not None:
            await drained
