"""Texts become vectors for the clients of OpenAI's API: from a provider's model, or from the embedder's own."""

import asyncio
import json
import sqlite3
import struct
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress

import httpx
import openai
import pytest

from dagi.knowledge.e5 import E5
from dagi.knowledge.index import Index
from dagi.observe.observer import SilentObserver
from dagi.services.embedder import serve
from dagi.stores.dialogs import DialogArchive
from dagi.stores.vectors import SqlVectors
from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio


def with_embeddings(settings: dict[str, object]) -> None:
    for provider in settings["llm_providers"]:
        provider["config"]["embedding_model"] = f"{provider['name']}-vectors"


def sdk(stack, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=key)


@pytest.fixture
async def stack(start) -> AsyncGenerator[object]:
    async with start(with_embeddings) as running:
        yield running


@pytest.fixture
async def client(stack) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with sdk(stack, await stack.key("member")) as client:
        yield client


def exchanges(stack) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(str(stack.database))) as connection:
        return connection.execute("SELECT mode, provider, model, outcome, prompt, answer, charged_tokens FROM exchange").fetchall()


async def recorded(stack) -> list[tuple[object, ...]]:
    async with asyncio.timeout(10):
        while not (found := exchanges(stack)):
            await asyncio.sleep(0.01)
    return found


async def test_the_sdk_gets_the_vectors_of_its_texts_in_their_order_and_what_they_cost(stack, client) -> None:
    answer = await client.embeddings.create(model="model", input=["a", "bbb", "cc"])
    assert [(one.index, one.embedding) for one in answer.data] == [(0, [1, 0, 0, 0]), (1, [3, 0, 0, 0]), (2, [2, 0, 0, 0])]
    assert (answer.object, answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("list", "model-vectors", 9, 9)
    assert stack.upstream.heard[0].body == {"model": "model-vectors", "input": ["a", "bbb", "cc"], "encoding_format": "base64"}


async def test_a_model_is_found_by_its_servers_name_for_it_too_and_one_text_need_not_be_a_list(client) -> None:
    answer = await client.embeddings.create(model="native-vectors", input="four")
    assert [one.embedding for one in answer.data] == [[4, 0, 0, 0]]
    assert answer.usage.prompt_tokens == 3


@pytest.mark.parametrize("model", ["model", "native"])
async def test_vectors_come_as_the_caller_wants_them_whatever_the_server_gives(stack, client, model: str) -> None:
    headers = {"authorization": f"Bearer {client.api_key}"}
    body = {"model": model, "input": ["four"]}
    plain = await stack.http.post("/embeddings", json=body, headers=headers)
    compact = await stack.http.post("/v1/embeddings", json={**body, "encoding_format": "base64"}, headers=headers)
    assert plain.json()["data"] == [{"object": "embedding", "index": 0, "embedding": [4.0, 0.0, 0.0, 0.0]}]
    assert struct.unpack("<4f", b64decode(compact.json()["data"][0]["embedding"])) == (4.0, 0.0, 0.0, 0.0)


async def test_a_server_that_ignores_the_wish_for_base64_changes_nothing_for_the_caller(stack, client) -> None:
    stack.upstream.script(Answer(body=b'{"data":[{"index":0,"embedding":[0.5,-1]}]}'))
    answer = await client.embeddings.create(model="model", input="x")
    assert answer.data[0].embedding == [0.5, -1]


async def test_token_numbers_dimensions_and_unknown_fields_go_on_to_a_server_of_that_protocol(stack, client) -> None:
    answer = await client.embeddings.create(model="model", input=[[5, 6, 7], [8]], dimensions=2, user="u", extra_body={"task": "x"})
    assert [one.embedding for one in answer.data] == [[3, 0], [1, 0]]
    heard = stack.upstream.heard[0].body
    assert (heard["input"], heard["dimensions"], heard["user"], heard["task"]) == ([[5, 6, 7], [8]], 2, "u", "x")


async def test_what_a_model_cannot_do_is_said(stack, client) -> None:
    with pytest.raises(openai.BadRequestError, match="not numbers of another model's tokens"):
        await client.embeddings.create(model="native", input=[1, 2])
    stack.upstream.script(Answer(body=b'{"data":[{"index":0,"embedding":[1,2,3]}]}'))
    with pytest.raises(openai.BadRequestError, match="its vectors have 3"):
        await client.embeddings.create(model="model", input="x", dimensions=2)
    with pytest.raises(openai.NotFoundError, match="no embedding model"):
        await client.embeddings.create(model="elsewhere", input="x")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"input": "x"}, "model"),
        ({"model": "model"}, "input"),
        ({"model": "model", "input": []}, "at least one text"),
        ({"model": "model", "input": ["a", ""]}, "input[1] is empty"),
        ({"model": "model", "input": ["a", 1]}, "mixes"),
        ({"model": "model", "input": ["a"] * 2049}, "at most 2048"),
        ({"model": "model", "input": "a", "dimensions": 0}, "dimensions"),
        ({"model": "model", "input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"model": "model", "input": "a", "dagi_dao": "greenfood-dao"}, "dagi_dao is nothing there is"),
    ],
)
async def test_a_mistake_in_the_body_is_named_and_reaches_no_model(stack, client, body: dict[str, object], said: str) -> None:
    answer = await stack.http.post("/v1/embeddings", json=body, headers={"authorization": f"Bearer {client.api_key}"})
    assert (answer.status_code, said in answer.text) == (400, True), answer.text
    assert stack.upstream.heard == []


async def test_a_stranger_reaches_no_model(stack) -> None:
    answer = await stack.http.post("/v1/embeddings", json={"model": "model", "input": "x", "metadata": {"user_id": "tg:404"}})
    assert answer.status_code == 403
    assert stack.upstream.heard == []


async def test_what_was_embedded_is_counted_and_logged_and_its_text_kept_nowhere(stack, client) -> None:
    await client.embeddings.create(model="model", input=["a secret text"])
    assert await recorded(stack) == [("embedding", "model", "model-vectors", "ok", "", "", 3)]
    metrics = (await stack.http.get("/metrics")).text
    assert 'dagi_requests_total{mode="embedding",outcome="ok",provider="model",rule=""} 1.0' in metrics
    line = next(line for line in stack.log() if line.get("mode") == "embedding")
    assert (line["provider"], line["status"], "secret" in json.dumps(line)) == ("model", "ok", False)


async def test_what_was_embedded_is_part_of_no_dialog(stack, client) -> None:
    await client.embeddings.create(model="model", input="x", extra_body={"metadata": {"session_id": "s"}})
    await recorded(stack)
    database = stack.installation.database()
    assert await DialogArchive(database).list() == ()
    await database.close()
    sessions = await stack.http.get("/sessions", headers={"authorization": f"Bearer {client.api_key}"})
    assert sessions.json()["sessions"] == []


async def test_the_tokens_of_a_server_that_does_not_count_are_estimated(stack, client) -> None:
    stack.upstream.script(Answer(body=b'{"data":[{"index":0,"embedding":[1]}]}'))
    answer = await client.embeddings.create(model="model", input="x" * 400)
    assert answer.usage.total_tokens == 100


async def test_limits_of_the_key_count(start) -> None:
    async with start(with_embeddings, limits={"key": {"rpm": 1}}) as stack, sdk(stack, await stack.key("member")) as client:
        raw = await client.embeddings.with_raw_response.create(model="model", input="x")
        assert raw.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError):
            await client.with_options(max_retries=0).embeddings.create(model="model", input="x")


async def test_a_server_that_fails_is_asked_again_and_then_the_failure_is_told_without_the_texts(stack, client) -> None:
    stack.upstream.script(Answer(status=500, error="cannot read a secret text"), Answer(status=500))
    with pytest.raises(openai.InternalServerError, match="model answered with HTTP 500"):
        await client.with_options(max_retries=0).embeddings.create(model="model", input="a secret text")
    assert len(stack.upstream.heard) == 2
    assert "secret" not in json.dumps(stack.log())


@pytest.mark.parametrize("body", [b'{"data":[]}', b'{"data":[{"index":1,"embedding":[1]}]}', b'{"data":[{"embedding":null}]}', b"<html>"])
async def test_an_answer_that_is_no_list_of_vectors_is_the_providers_error(stack, client, body: bytes) -> None:
    stack.upstream.script(Answer(body=body), Answer(body=body))
    with pytest.raises(openai.InternalServerError, match="usable answer"):
        await client.with_options(max_retries=0).embeddings.create(model="model", input="x")


@pytest.mark.parametrize("form", ["float", "base64"])
@pytest.mark.parametrize("vector", [b'["one"]', b"[null,1]", b"[[1,2]]", b"[1e400]", b'"????"', b'"AAAAAAA="'])
async def test_a_vector_of_other_things_than_numbers_is_the_providers_error(stack, client, vector: bytes, form: str) -> None:
    stack.upstream.script(Answer(body=b'{"data":[{"embedding":%b}]}' % vector))
    with pytest.raises(openai.InternalServerError, match="no vector"):
        await client.with_options(max_retries=0).embeddings.create(model="model", input="x", encoding_format=form)


async def test_a_text_longer_than_the_model_reads_is_the_callers_mistake(stack, client) -> None:
    stack.upstream.script(Answer(status=400, error="maximum context length is 8192 tokens"))
    with pytest.raises(openai.BadRequestError, match="longer than model can read"):
        await client.embeddings.create(model="model", input="x")


async def test_a_caller_who_leaves_stops_the_server_s_work(stack, client) -> None:
    stack.upstream.script(Answer(hang_after=0))
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(max_retries=0, timeout=0.3).embeddings.create(model="model", input="x")
    await stack.upstream.until(lambda: stack.upstream.disconnects == 1)


async def test_without_the_embedder_its_model_says_that_it_is_switched_off(client) -> None:
    with pytest.raises(openai.InternalServerError, match="switched off") as told:
        await client.with_options(max_retries=0).embeddings.create(model="dagi-embeddings", input="x")
    assert told.value.status_code == 503


async def test_a_provider_without_its_key_is_known_and_not_configured(start) -> None:
    config = {"model": "m", "embedding_model": "text-embedding-3-small"}
    more = {"name": "vendor", "type": "openai", "config": config}
    async with start(lambda settings: settings["llm_providers"].append(more)) as stack:
        body = {"model": "text-embedding-3-small", "input": "x", "metadata": {"user_id": "tg:12345"}}
        answer = await stack.http.post("/v1/embeddings", json=body)
        assert (answer.status_code, "not configured" in answer.text) == (503, True), answer.text


@asynccontextmanager
async def embedder(stack) -> AsyncGenerator[None]:
    """The embedder's work, on the test's own event loop."""
    ready, path, database = asyncio.Event(), stack.installation.embedder_socket, stack.installation.database()
    path.parent.mkdir(parents=True, exist_ok=True)
    async with Index(SqlVectors(database), E5(), SilentObserver()) as index:
        task = asyncio.create_task(serve(path, index, ready.set))
        await ready.wait()
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await database.close()


async def asked(stack, model: str, texts: list[str], **more: object) -> httpx.Response:
    body = {"model": model, "input": texts, "metadata": {"user_id": "tg:12345"}, **more}
    async with asyncio.timeout(20):
        while True:
            answer = await stack.http.post("/v1/embeddings", json=body)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.02)


@pytest.mark.inside
async def test_the_embedders_own_model_brings_a_question_near_to_the_passage_that_answers_it(start) -> None:
    async with start(knowledge={"embedder": True}) as stack, embedder(stack):
        passages = ["Скарбниця тримає 40 тисяч гривень.", "The greenhouse is led by Taras.", "Голосування триває сім днів."]
        found = (await asked(stack, "dagi-embeddings", passages)).json()
        (question,) = (await asked(stack, "dagi-embeddings/query", ["How long does a vote last?"])).json()["data"]
        scores = [sum(a * b for a, b in zip(question["embedding"], one["embedding"], strict=True)) for one in found["data"]]
        assert len(question["embedding"]) == 384
        assert max(range(3), key=scores.__getitem__) == 2
        assert found["usage"]["total_tokens"] > 0


@pytest.mark.inside
async def test_the_embedders_own_model_says_what_it_cannot_do(start) -> None:
    async with start(knowledge={"embedder": True}) as stack, embedder(stack):
        assert "reads 1500" in (await asked(stack, "dagi-embeddings", ["x" * 1501])).text
        assert "384 dimensions" in (await asked(stack, "dagi-embeddings", ["x"], dimensions=2)).text
        assert "at most 256" in (await asked(stack, "dagi-embeddings", ["x"] * 257)).text
        assert "Send input as text" in (await asked(stack, "dagi-embeddings", [[1]])).text


@pytest.mark.inside
async def test_an_embedder_that_is_not_there_is_said_to_be_so(start) -> None:
    async with start(knowledge={"embedder": True}) as stack:
        body = {"model": "dagi-embeddings", "input": "x", "metadata": {"user_id": "tg:12345"}}
        answer = await stack.http.post("/v1/embeddings", json=body)
        assert (answer.status_code, "not there" in answer.text, answer.headers["retry-after"]) == (503, True, "2")
