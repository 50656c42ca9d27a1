"""Callers who take nothing of their answer, or leave before it: they keep nobody else from one."""

import asyncio
import json
import socket

import msgspec
import pytest

from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
PIECE = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"w" * 20_000 + b'"}}]}\n\n'
LONG = PIECE * 400 + b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


async def test_a_caller_who_does_not_read_its_stream_has_left_and_gives_its_place_back(start) -> None:
    def one_place(settings: dict[str, object]) -> None:
        settings["llm_providers"][0]["config"] |= {"max_concurrent": 1, "timeout_ms": 600_000}  # pyright: ignore[reportIndexIssue]
        settings["routing_rules"] = [{"name": "only", "use_provider": "model", "context": False}]

    async with start(one_place) as stack:
        stack.front.services["router"].bounds = msgspec.structs.replace(stack.front.services["router"].bounds, unread_s=0.1)
        stack.upstream.script(Answer(body=LONG, headers={"content-type": "text/event-stream"}))
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.settimeout(0)
            host, port = stack.url.removeprefix("http://").split(":")
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, (host, int(port)))
            body = json.dumps({"prompt": "Hello?", "stream": True, "metadata": {"user_id": "tg:12345"}}).encode()
            head = b"POST /route HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            await loop.sock_sendall(deaf, head + body)
            await eventually(lambda: bool(stack.upstream.heard))
            assert (await stack.route("Hello?", user="tg:admin001")).json()["response"] == "echo: Hello?"
        await eventually(lambda: stack.log()[0].get("status") == "cancelled")


async def test_a_caller_who_leaves_with_several_requests_in_flight_is_no_error_of_ours(stack) -> None:
    host, port = stack.url.removeprefix("http://").split(":")
    body = b'{"prompt":"Hello?","metadata":{"plain":true}}'
    head = b"POST /route HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    stack.upstream.script(Answer(hang_after=0))
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write((head + body) * 3)
    await eventually(lambda: stack.upstream.active == 1)
    writer.transport.abort()
    await eventually(lambda: stack.upstream.active == 0)
    await stack.route()
    assert [(line["event"], line.get("status")) for line in stack.log()] == [("exchange", "cancelled"), ("exchange", "ok")]
