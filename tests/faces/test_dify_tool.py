"""The stack as a custom tool of Dify: the document its importer reads, and the calls it makes then."""

import json
import re

import pytest

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def imported(document: dict) -> list[dict]:
    """The tools as Dify's importer takes them from a document; what it stumbles over fails here."""
    base = document["servers"][0]["url"]
    assert re.match(r"https?://[^/]+\Z", base)
    assert isinstance(document["info"].get("description", ""), str)
    tools = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert NAME.fullmatch(operation["operationId"])
            (content,) = operation["requestBody"]["content"].items()
            kind, schema = content[0], content[1]["schema"]
            assert "$ref" not in schema
            for name, one in schema["properties"].items():
                assert one["description"], name
                # Whatever has no plain type is offered as text and sent as text.
                assert one["type"] in {"string", "integer", "number", "boolean", "object"}, name
            tools.append({"url": base + path, "method": method, "kind": kind, "says": operation["description"], **schema})
    return tools


async def test_the_importer_takes_one_tool_from_the_document(stack) -> None:
    document = (await stack.http.get("/dify/openapi.json")).json()
    (tool,) = imported(document)
    assert document["openapi"].startswith("3.0.")
    assert (tool["url"], tool["method"], tool["kind"]) == (f"{stack.url}/route", "post", "application/json")
    assert tool["required"] == ["prompt"]


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"host": "host.docker.internal:9102"}, "http://host.docker.internal:9102"),
        ({"host": "dagi.example", "x-forwarded-proto": "https"}, "https://dagi.example"),
        ({"host": "[::1]:9102"}, "http://[::1]:9102"),
        ({"host": 'x"><script>'}, None),
        ({"host": "a/../b"}, None),
    ],
)
async def test_the_document_names_the_address_at_which_the_caller_reached_us(stack, headers: dict[str, str], url: str | None) -> None:
    key = await stack.key("member")
    answer = await stack.http.get("/dify/openapi.json", headers={**headers, "authorization": f"Bearer {key}"})
    assert answer.json()["servers"] == [{"url": url or stack.url}]
    assert answer.headers["cache-control"] == "no-store"


async def test_outside_of_development_the_document_needs_a_key_as_the_description_does(start) -> None:
    async with start(environment="staging", dao={"demo": False}, server={"host": "127.0.0.1"}) as stack:
        assert [(await stack.http.get(path)).status_code for path in ("/dify/openapi.json", "/openapi.json")] == [401, 401]


@pytest.mark.parametrize("as_text", [True, False])
async def test_a_call_answers_for_the_member_it_names_whether_its_metadata_is_an_object_or_text(stack, *, as_text: bool) -> None:
    key = await stack.key("member", act_as=True)
    stack.upstream.script(Answer(text="Hello, Daryna."))
    metadata = {"user_id": "tg:12345", "source": "dify", "plain": True}
    body = {"prompt": "Hi?", "mode": "chat", "metadata": json.dumps(metadata) if as_text else metadata}
    answer = await stack.http.post("/route", json=body, headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["response"], answer.json()["rule"]) == (200, "Hello, Daryna.", "plain")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("metadata", ["", "  ", "{}", '{"dao_id": "greenfood-dao"}'])
async def test_empty_metadata_is_none(stack, metadata: str) -> None:
    answer = await stack.http.post("/route", json={"prompt": "Hi?", "metadata": metadata})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("metadata", ["{", "[]", "null", "5", '"{}"', "[" * 100_000, "tg:12345", 5, None, []])
async def test_metadata_that_is_no_object_in_either_form_is_refused_by_name(stack, metadata: object) -> None:
    answer = await stack.http.post("/route", json={"prompt": "Hi?", "metadata": metadata})
    assert (answer.status_code, answer.json()["field"]) == (400, "metadata")
    assert stack.upstream.heard == []


async def test_metadata_in_text_frees_nobody_of_what_is_checked(stack) -> None:
    key = await stack.key("member")
    body = {"prompt": "Hi?", "metadata": json.dumps({"user_id": "tg:admin001"})}
    answer = await stack.http.post("/route", json=body, headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["reason"]) == (403, "may_not_act_as")
