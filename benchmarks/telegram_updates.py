"""Telegram's side of the gateway: how soon an update is acknowledged, and what we add between a question and its answer."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import httpx
import msgspec

from dagi.channels.telegram.turns import PER_BOT
from dagi.observe.clock import SystemClock
from dagi.stores.members import MemberAdmin
from dagi.stores.postgres import Address
from dagi.testing.telegram import SECRET, TOKEN, BotApi
from dagi.testing.upstream import Answer, Upstream
from databases import KINDS, empty_database, is_there
from figures import Plan, Row, Spread
from stack import DAO, Installation, install, serving, twenty_rules

# What Telegram opens by default (setWebhook's max_connections).
CONNECTIONS = 40
MEMBERS = 200
BURST = 1_000
# A busy community: more than three bots may answer.
PER_SECOND = 100
STEADY = 500
QUESTIONS = 200
MODEL_S = 10.0
PROMISED_MS = 50
EACH_S = 1.2 / PER_BOT


def rows(plan: Plan) -> list[Row]:
    """Three rows a database."""
    return [row for kind in KINDS for row in _rows(kind, plan)]


def _rows(kind: str, plan: Plan) -> list[Row]:
    if not is_there(kind):
        return [Row(what=f"Telegram, {kind}", main="skipped", more="its server is not installed (scripts/packages.sh postgres)")]
    with empty_database(kind) as server:
        directory = plan.work / f"telegram-{kind.lower()}"
        return asyncio.run(_measured(kind, directory, server, plan))


async def _measured(kind: str, directory: Path, server: Address | None, plan: Plan) -> list[Row]:
    async with BotApi() as telegram, Upstream(default=Answer(text="Three projects: seeds, bees and a kitchen."), record=False) as upstream:
        installation = await asyncio.to_thread(_installed, directory, server, telegram, upstream)
        with serving(installation):
            url = _gateway(installation)
            own = await _own(url, telegram, plan.pick(QUESTIONS, 5))
            burst = plan.pick(BURST, 50)
            upstream.script(*(Answer(text="Three.", latency_s=MODEL_S) for _ in range(burst + STEADY)))
            # The burst finds a gateway with nothing to do, which begins with it at once: the worst for whoever waits to be acknowledged.
            took, acknowledged = await _burst(url, telegram, burst)
            steady = await _steady(url, telegram, plan.pick(STEADY, 20))
    acks, ours = Spread.of([one * 1000 for one in acknowledged]), [one * 1000 for one in own]
    calm = Spread.of([one * 1000 for one in steady])
    p95 = quantiles(ours, n=20, method="inclusive")[18]
    return [
        Row(
            what=f"update acknowledged, {kind}, {PER_SECOND} a second",
            main=f"{calm.p99:.1f} ms at the 99th percentile",
            ratio=f"{calm.p99 / PROMISED_MS:.2f} of the {PROMISED_MS} ms promised",
            p50=f"{calm.p50:.1f} ms",
            p99=f"{calm.p99:.1f} ms",
            more=f"{calm.count} updates as they come, while the model takes {MODEL_S:g} s",
            numbers={"seconds": steady},
        ),
        Row(
            what=f"update acknowledged, {kind}, a burst",
            main=f"{acks.count / took:,.0f} updates/s",
            ratio=f"p99 is {acks.p99 / PROMISED_MS:.2f} of the {PROMISED_MS} ms promised",
            p50=f"{acks.p50:.1f} ms",
            p99=f"{acks.p99:.1f} ms",
            more=f"{acks.count} at once over {CONNECTIONS} connections, while the model takes {MODEL_S:g} s",
            numbers={"seconds": acknowledged},
        ),
        Row(
            what=f"question to answer, {kind}",
            main=f"{p95:.1f} ms at the 95th percentile",
            ratio=f"{p95 / PROMISED_MS:.2f} of the {PROMISED_MS} ms promised",
            p50=f"{Spread.of(ours).p50:.1f} ms",
            p99=f"{Spread.of(ours).p99:.1f} ms",
            more="from the update to sendMessage, the model answers at once",
            numbers={"seconds": own},
        ),
    ]


def _installed(directory: Path, server: Address | None, telegram: BotApi, upstream: Upstream) -> Installation:
    installation = install(directory, upstream=upstream.origin, rules=twenty_rules(), embedder=False, server=server)
    for name, secret in (("token", TOKEN), ("secret", SECRET)):
        (directory / name).write_text(secret)
    bot = {"name": "main", "dao_id": DAO, "token_file": str(directory / "token"), "secret_file": str(directory / "secret")}
    installation.configure(channels={"telegram": {"api_base_url": telegram.url, "bots": [bot]}})

    async def fill() -> None:
        database = installation.database
        members = MemberAdmin(database, SystemClock())
        for number in range(1, MEMBERS + 1):
            await members.create(DAO, f"tg:{number}", ["member"])
        await database.close()

    asyncio.run(fill())
    return installation


def _gateway(installation: Installation) -> str:
    told = msgspec.json.decode((installation.data_dir / "run" / "serve.json").read_bytes())
    return str(told["urls"]["gateway"])


async def _own(url: str, telegram: BotApi, count: int) -> list[float]:
    took: list[float] = []
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        for number in range(count):
            before, chat = len(telegram.sent), number % MEMBERS + 1
            began = time.perf_counter()
            await _deliver(http, telegram.message("Which projects are there?", user=chat))
            await telegram.until(lambda before=before: len(telegram.sent) > before, 60)
            took.append(time.perf_counter() - began)
            # A bot may say so much a second: whoever asks faster measures how long the gateway holds it back for Telegram's sake.
            await asyncio.sleep(max(0.0, EACH_S - took[-1]))
    return took


async def _burst(url: str, telegram: BotApi, count: int) -> tuple[float, list[float]]:
    """Deliver updates over connections that are kept open, as Telegram does; prepared before, by a client that costs next to nothing."""
    waiting = [_request(telegram.message("Which projects are there?", user=number % MEMBERS + 1)) for number in range(count)]
    acknowledged: list[float] = []

    async def connection() -> None:
        reader, writer = await _connected(url)
        while waiting:
            acknowledged.append(await _taken(reader, writer, waiting.pop()))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return time.perf_counter() - began, acknowledged


async def _steady(url: str, telegram: BotApi, count: int) -> list[float]:
    """Deliver updates at an even pace, each on whichever connection is free."""
    free = asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    for _ in range(CONNECTIONS):
        free.put_nowait(await _connected(url))
    requests = [_request(telegram.message("Which projects are there?", user=number % MEMBERS + 1)) for number in range(count)]

    async def one(request: bytes, at: float) -> float:
        await asyncio.sleep(at)
        streams = await free.get()
        took = await _taken(*streams, request)
        free.put_nowait(streams)
        return took

    took = await asyncio.gather(*(one(request, number / PER_SECOND) for number, request in enumerate(requests)))
    while not free.empty():
        free.get_nowait()[1].close()
    return list(took)


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(url)
    return await asyncio.open_connection(address.hostname, address.port)


async def _taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    """Deliver one; gives the seconds until it is acknowledged."""
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    took = time.perf_counter() - began
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"an update was not taken: {head!r}")
    return took


def _request(update: Mapping[str, object]) -> bytes:
    body = msgspec.json.encode(update)
    head = (
        "POST /telegram/webhook HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"X-Telegram-Bot-Api-Secret-Token: {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _deliver(http: httpx.AsyncClient, update: Mapping[str, object]) -> None:
    answer = await http.post("/telegram/webhook", json=update, headers={"X-Telegram-Bot-Api-Secret-Token": SECRET})
    answer.raise_for_status()
