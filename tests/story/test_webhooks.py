"""What a platform never sends is refused with the right status, and nothing of it gets into the log or further."""

import asyncio
import json
import time
from urllib.parse import urlsplit

import pytest
from tests.conftest import Stack, StackFactory
from tests.story.test_discord import channels as applications
from tests.story.test_discord import discord, hours
from tests.story.test_telegram import channels, telegram

from dagi.testing.discord_api import DiscordApi
from dagi.testing.discord_delivery import signed
from dagi.testing.telegram import SECRET, BotApi

__all__ = ["discord", "hours", "telegram"]
pytestmark = pytest.mark.anyio
JSON = ("Content-Type", "application/json")
PROOF = ("X-Telegram-Bot-Api-Secret-Token", SECRET)
Headers = tuple[tuple[str, str], ...]


async def status(stack: Stack, method: str, path: str, headers: Headers, body: bytes) -> int:
    """What the gateway says to a request that no client of HTTP would let through."""
    port = urlsplit(stack.gateway_url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    writer.write("\r\n".join((*lines, "", "")).encode("latin-1") + body)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def test_odd_deliveries_of_updates_get_the_status_that_fits(
    start: StackFactory, telegram: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    body, hook = json.dumps(telegram.message("/help SECRET-WORDS")).encode(), "/telegram/webhook"
    ours, wrong = (JSON, PROOF), (PROOF[0], "wrong")
    asked: dict[str, tuple[str, str, Headers, bytes, int]] = {
        "GET": ("GET", hook, ours, b"", 405),
        "HEAD": ("HEAD", hook, ours, b"", 405),
        "PUT": ("PUT", hook, ours, body, 405),
        "slash at the end": ("POST", hook + "/", ours, body, 404),
        "name with a slash": ("POST", hook + "/ma%2Fin", ours, body, 404),
        "nobody's name": ("POST", hook + "/nobody", ours, body, 404),
        "no body": ("POST", hook, ours, b"", 400),
        "no body and no proof": ("POST", hook, (JSON,), b"", 401),
        "proof twice": ("POST", hook, (*ours, PROOF), body, 400),
        "proof and none": ("POST", hook, (JSON, wrong, PROOF), body, 400),
        "long proof": ("POST", hook, (JSON, (PROOF[0], "s" * 50_000)), body, 401),
        "deep": ("POST", hook, ours, b'{"update_id":1,"x":' + b"[" * 50_000, 400),
        "large": ("POST", hook, ours, b"x" * (1 << 21), 413),
        # A proxy may have written it; what counts is the proof, and what is in it.
        "another type": ("POST", hook, (("Content-Type", "text/plain"), PROOF), body, 200),
        "no type, a query, a letter in code": ("POST", hook + "/%6dain?a=%00", (PROOF,), body, 200),
    }
    async with start(channels=channels(telegram)) as stack:
        found = {name: await status(stack, *request[:4]) for name, request in asked.items()}
        counted = (await stack.http.get(stack.gateway_url + "/metrics")).text
        assert stack.rows("SELECT count(*) FROM inbox") == [(1,)]
    assert found == {name: request[-1] for name, request in asked.items()}
    assert "nobody" not in counted
    written = caplog.text + "".join(file.read_text() for file in (stack.installation.data_dir / "logs").glob("*.log"))
    assert "METHOD_NOT_ALLOWED" in written
    assert not [secret for secret in (SECRET, "SECRET-WORDS", "Traceback") if secret in written]


async def test_odd_deliveries_of_interactions_get_the_status_that_fits(start: StackFactory, discord: DiscordApi) -> None:
    body, hook = json.dumps(discord.make.command("help")).encode(), "/discord/webhook"
    ours = tuple(signed(body, time.time()).items())
    nothing = tuple(signed(b"", time.time()).items())
    asked: dict[str, tuple[str, str, Headers, bytes, int]] = {
        "GET": ("GET", hook, ours, b"", 405),
        "HEAD": ("HEAD", hook, ours, b"", 405),
        "slash at the end": ("POST", hook + "/", ours, body, 404),
        "nobody's name": ("POST", hook + "/nobody", ours, body, 404),
        "no body": ("POST", hook, nothing, b"", 400),
        "no body and no proof": ("POST", hook, (JSON,), b"", 401),
        "signed twice": ("POST", hook, (*ours, ours[1]), body, 400),
        "long": ("POST", hook, (JSON, ("X-Signature-Ed25519", "a" * 50_000), ("X-Signature-Timestamp", "9" * 5_000)), body, 401),
        "letters of no alphabet": ("POST", hook, (JSON, ("X-Signature-Ed25519", "ÿþ"), ("X-Signature-Timestamp", "²")), body, 401),
        "large": ("POST", hook, ours, b"x" * (1 << 21), 413),
        "another type": ("POST", hook + "/main?a=b", (("Content-Type", "text/plain"), *ours[1:]), body, 200),
    }
    async with start(channels=applications(discord)) as stack:
        found = {name: await status(stack, *request[:4]) for name, request in asked.items()}
        assert stack.rows("SELECT count(*) FROM inbox") == [(1,)]
    assert found == {name: request[-1] for name, request in asked.items()}
