"""What every `Embeddings` keeps: servers of both protocols, the embedder's own model, the fake."""

import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from dagi.errors import DagiError, Invalid, ProviderError, TargetFailure
from dagi.message import Sender
from dagi.outbound import Client
from dagi.ports.embeddings import Batch, Embeddings
from dagi.ports.provider import ProviderTools
from dagi.remote.embeddings import LocalEmbeddings
from dagi.services.openai.vectors import spelled
from dagi.targets.models.chat_api import ChatSettings
from dagi.targets.models.ollama import OllamaSettings
from dagi.targets.models.ollama import provider as ollama
from dagi.targets.models.openai_compatible import provider as compatible
from dagi.testing.clock import FakeClock
from dagi.testing.embeddings import FakeEmbeddings
from dagi.testing.facts import MemoryEmbedder, MemoryFacts
from dagi.testing.upstream import Upstream

pytestmark = pytest.mark.anyio


class Kind(NamedTuple):
    working: Embeddings
    failing: Embeddings


@pytest.fixture(params=["openai", "ollama", "embedder", "fake"])
async def kind(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Kind]:
    del anyio_backend
    if request.param == "fake":
        yield Kind(FakeEmbeddings(), FakeEmbeddings(ProviderError("It failed.", provider="p")))
        return
    if request.param == "embedder":
        working, failing = MemoryEmbedder(), MemoryEmbedder(down=True)
        yield Kind(LocalEmbeddings("p", working, query=False), LocalEmbeddings("p", failing, query=True))
        return
    async with Upstream() as upstream, Client() as http:
        tools = ProviderTools(http=http, facts=MemoryFacts(), clock=FakeClock())
        yield Kind(*(made(request.param, origin, tools) for origin in (upstream.origin, "http://127.0.0.1:9")))


def made(protocol: str, origin: str, tools: ProviderTools) -> Embeddings:
    if protocol == "ollama":
        found = ollama.embeddings("p", OllamaSettings(base_url=origin, model="m", embedding_model="v"), tools)
    else:
        found = compatible.embeddings("p", ChatSettings(base_url=f"{origin}/v1", model="m", embedding_model="v"), tools)
    assert found is not None
    return found.target


def batch(*texts: str, **more: object) -> Batch:
    return Batch(id="1", sender=Sender(dao_id="d", user_id="key:1"), texts=texts, **more)


@pytest.mark.parametrize("compact", [True, False])
async def test_there_is_one_vector_for_each_text_in_their_order(kind: Kind, compact: bool) -> None:
    embedded = await kind.working.embed(batch("a", "bbb", "cc", "dddd", "eeeee", compact=compact))
    vectors = [json.loads(bytes(spelled(vector, compact=False))) for vector in embedded.vectors]
    assert [vector[0] for vector in vectors] == [1, 3, 2, 4, 5]
    assert len({len(vector) for vector in vectors}) == 1
    assert embedded.model


async def test_a_text_of_any_letters_is_embedded(kind: Kind) -> None:
    assert len((await kind.working.embed(batch("Що це? 🌿", '"\\\n'))).vectors) == 2


async def test_token_numbers_are_embedded_or_refused_by_name(kind: Kind) -> None:
    numbered = batch(tokenised=((1, 2), (3,)))
    try:
        embedded = await kind.working.embed(numbered)
    except Invalid as error:
        assert error.facts["field"] == "input"
    else:
        assert len(embedded.vectors) == 2


async def test_other_dimensions_are_given_or_refused_by_name(kind: Kind) -> None:
    try:
        embedded = await kind.working.embed(batch("a", dimensions=2))
    except Invalid as error:
        assert error.facts["field"] == "dimensions"
    else:
        assert len(json.loads(bytes(spelled(embedded.vectors[0], compact=False)))) == 2


async def test_a_model_that_is_not_there_is_a_failure_that_names_the_provider(kind: Kind) -> None:
    with pytest.raises(TargetFailure) as failed:
        await kind.failing.embed(batch("a"))
    assert isinstance(failed.value, DagiError)
    assert failed.value.provider == "p"
