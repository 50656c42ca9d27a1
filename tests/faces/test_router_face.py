"""The router's face: who may call, what is refused and how, and what operators are told. Over real HTTP."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dagi.errors import DagiError
from dagi.message import Sender
from dagi.ports.target import Delta
from dagi.services.bodies import RouteBody, read_body, to_message
from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"
JSON = {"content-type": "application/json"}


async def post(stack, body: bytes | str, headers: Mapping[str, str] = JSON):
    return await stack.http.post("/route", content=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        (b"", "body", "not valid JSON"),
        (b"{", "body", "not valid JSON"),
        (b"\xff\xfe", "body", "not valid JSON"),
        (b'"text"', "body", "Expected `object`"),
        (b"[" * 100_000 + b"]" * 100_000, "body", "object"),
        (b'{"prompt": "a", "metadata": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "body", "nested too deeply"),
        (b'{"prompt": 1}', "prompt", "Expected `str"),
        (b'{"prompt": ""}', "prompt", "empty"),
        (b'{"prompt": "  \\n "}', "prompt", "empty"),
        (b"{}", "prompt", "empty"),
        (b'{"prompt": "a\\u0000b"}', "prompt", "NUL"),
        (b'{"prompt": "\\ud800"}', "body", "not valid JSON"),
        (b'{"prompt": "a", "promptt": "b", "zeta": 1}', "promptt", '"promptt", "zeta"'),
        (b'{"prompt": "a", "mode": "chatt"}', "mode", "Invalid enum value"),
        (b'{"prompt": "a", "messages": []}', "messages", "not both"),
        (b'{"messages": []}', "messages", "must be the user's"),
        (b'{"messages": [{"role": "assistant", "content": "x"}]}', "messages", "must be the user's"),
        (b'{"messages": [{"role": "god", "content": "x"}]}', "messages[0].role", "Invalid enum value"),
        (b'{"messages": [{"role": "user", "content": "x", "extra": 1}]}', "messages[0]", "unknown field"),
        (b'{"prompt": "a", "metadata": []}', "metadata", "Expected `str | object`"),
        (b'{"prompt": "a", "metadata": {"user_id": 5}}', "metadata.user_id", "must be a text"),
        (b'{"prompt": "a", "metadata": {"user_id": "bob"}}', "metadata.user_id", "<kind>:<id>"),
        (b'{"prompt": "a", "metadata": {"dao_id": "Green Food"}}', "metadata.dao_id", "lower-case"),
        (b'{"prompt": "a", "metadata": {"source": "irc"}}', "metadata.source", "none there is"),
        (b'{"prompt": "a", "metadata": {"session_id": "a b"}}', "metadata.session_id", "printable"),
        (b'{"prompt": "a", "metadata": {"provider": ["x"]}}', "metadata.provider", "must be a text"),
        (b'{"prompt": "a", "mode": "crew", "metadata": {"inputs": 5}}', "metadata.inputs", "must be an object"),
        (b'{"prompt": "a", "metadata": {"x": 1e999}}', "metadata[...]", "out of range"),
    ],
)
async def test_a_wrong_body_is_a_400_that_names_the_field(stack, body: bytes, field: str, told: str) -> None:
    answer = await post(stack, body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "VALIDATION_ERROR", field)
    assert told in answer.json()["message"]
    assert stack.upstream.heard == []


async def test_modes_without_what_they_need_name_the_field(start) -> None:
    def everything(settings: dict[str, object]) -> None:
        settings["routing_rules"] = [{"name": "all", "use_provider": "model"}]

    async with start(everything) as stack:
        for body, code in (
            ({"mode": "crew"}, "VALIDATION_ERROR"),
            ({"mode": "devtools"}, "VALIDATION_ERROR"),
            ({"mode": "devtools", "metadata": {"tool": "rm_rf"}}, "UNKNOWN_TOOL"),
        ):
            assert (await stack.http.post("/route", json=body)).json()["code"] == code


async def test_a_body_over_the_limit_is_refused_declared_or_not(start) -> None:
    async def endless():
        for _ in range(4):
            yield b"x" * 1024

    async with start(server={"max_body_bytes": 2048}) as stack:
        for answer in (await post(stack, b"x" * 2049), await stack.http.post("/route", content=endless(), headers=JSON)):
            assert (answer.status_code, answer.json()["code"], answer.json()["max_bytes"]) == (413, "PAYLOAD_TOO_LARGE", 2048)
        longest = json.dumps({"prompt": "", "metadata": {"plain": True}})
        fits = json.dumps({"prompt": "y" * (2048 - len(longest)), "metadata": {"plain": True}})
        assert (await post(stack, fits)).status_code == 200


async def test_a_body_that_does_not_arrive_in_time_is_refused(start) -> None:
    async with start(server={"body_timeout_ms": 100}) as stack:
        host, port = stack.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /route HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{")
        head = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert b"400" in head


async def raw(stack, *parts: bytes) -> bytes:
    """Bytes as they are, and all that comes back before the connection ends or five seconds are over."""
    host, port = stack.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            # The other side may have answered and closed before it has heard everything.
            with suppress(ConnectionError):
                await writer.drain()
        return await asyncio.wait_for(reader.read(4096), 5)
    except ConnectionError:
        # Closed with bytes of ours unread, the other side's last words may be lost on the way.
        return b""
    finally:
        writer.close()


async def test_a_body_of_which_nothing_arrives_is_refused_in_time_too(start) -> None:
    async with start(server={"body_timeout_ms": 100}) as stack:
        head = b"POST /route HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n"
        assert b" 400 " in await raw(stack, head)


async def test_a_head_without_end_is_refused_by_its_length(stack) -> None:
    endless = [b"GET /health HTTP/1.1\r\n", *[b"x-filler: " + b"y" * 8000 + b"\r\n"] * 200]
    answer = await raw(stack, *endless)
    assert answer == b"" or b" 431 " in answer
    assert (await stack.http.get("/health")).status_code == 200


def bounded(stack, **bounds: float) -> None:
    """Other bounds for what comes from now on."""
    stack.front.services["router"].bounds = msgspec.structs.replace(stack.front.services["router"].bounds, **bounds)


async def test_a_head_that_does_not_end_in_time_is_refused(stack) -> None:
    bounded(stack, head_s=0.05)
    assert b" 408 " in await raw(stack, b"GET /health HTTP/1.1\r\nhost: lo")


async def test_the_time_of_a_head_is_not_the_time_of_an_answer(stack) -> None:
    bounded(stack, head_s=0.05)
    for _ in range(2):
        stack.upstream.script(Answer(text="slow", latency_s=0.3))
        assert (await stack.route("Hello?", metadata={"plain": True})).json()["response"] == "slow"


async def test_a_connection_that_rests_between_requests_is_not_answered_unasked(stack) -> None:
    bounded(stack, head_s=0.05)
    host, port = stack.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for _ in range(2):
        writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b'{"status":"ok"}'), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
    writer.close()


async def test_a_large_request_in_one_piece_is_no_large_head(stack) -> None:
    body = json.dumps({"prompt": "x" * 300_000, "metadata": {"plain": True}}).encode()
    head = f"POST /route HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    assert b" 200 OK" in await raw(stack, head.encode() + body)


async def test_trailers_without_end_are_refused_by_their_length(stack) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    host, port = stack.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    with pytest.raises(ConnectionError):
        for _ in range(10_000):
            writer.write(b"a: " + b"b" * 4000 + b"\r\n")
            await asyncio.wait_for(writer.drain(), 5)
    writer.close()


async def test_the_log_shows_a_path_as_it_was_sent_and_not_what_it_would_do_to_a_terminal(stack) -> None:
    await stack.http.get("/%1b%5b2J%07")
    (line,) = [line for line in stack.log() if line["event"] == "refused"]
    assert line["path"] == "/%1b%5b2J%07"


@pytest.mark.parametrize("name", [b"host", b"authorization", b"content-type", b"origin"])
async def test_a_header_that_decides_something_counts_once(stack, name: bytes) -> None:
    twice = name + b": localhost\r\n" + name + b": evil.example\r\n"
    host = b"" if name == b"host" else b"host: localhost\r\n"
    assert b" 400 " in await raw(stack, b"GET /health HTTP/1.1\r\n" + host + twice + b"\r\n")


async def test_whoever_is_refused_leaves_a_line_in_the_log_without_the_key(stack) -> None:
    answer = await stack.http.get("/info", headers=bearer("dagi_abc_wrong"))
    (line,) = [line for line in stack.log() if line["event"] == "refused"]
    assert (line["code"], line["path"], line["request_id"]) == ("UNAUTHENTICATED", "/info", answer.headers["x-request-id"])
    assert line["peer"] == "127.0.0.1"
    assert "dagi_abc_wrong" not in json.dumps(stack.log())


async def test_unknown_paths_and_methods_say_what_there_is(stack) -> None:
    lost = await stack.http.get("/nowhere")
    assert (lost.status_code, lost.json()["code"]) == (404, "NOT_FOUND")
    assert "/route" in lost.json()["known"]
    wrong = await stack.http.get("/route")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")
    head = await stack.http.head("/health")
    assert (head.status_code, head.content) == (200, b"")


async def test_the_callers_own_request_id_comes_back_when_it_is_one(stack) -> None:
    kept = await stack.http.get("/health", headers={"x-request-id": "my-id.1"})
    made = await stack.http.get("/health", headers={"x-request-id": "no good!"})
    assert kept.headers["x-request-id"] == "my-id.1"
    assert len(made.headers["x-request-id"]) == 32


async def test_a_text_at_the_edges_of_unicode_goes_through_unchanged(stack) -> None:
    prompt = "\u202e мова \U0001f600 \x1b[31m \uffff"
    answer = await stack.route(prompt, metadata={"plain": True})
    assert answer.json()["response"] == f"echo: {prompt}"


# --- who may call, in development


async def test_keyless_callers_are_served_from_this_machine_alone(stack) -> None:
    body = json.dumps({"prompt": "a", "metadata": {"plain": True}})
    for headers, allowed in (
        ({}, True),
        ({"host": "localhost:9102"}, True),
        ({"host": "[::1]:9102"}, True),
        ({"host": "evil.example"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
        ({"origin": "http://localhost:9102"}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"x-forwarded-for": "10.0.0.1"}, False),
        ({"forwarded": "for=10.0.0.1"}, False),
        ({"x-real-ip": "127.0.0.1"}, False),
        ({"via": "1.1 proxy"}, False),
        ({"x-forwarded-port": "80"}, False),
        ({"x_forwarded_for": "10.0.0.1"}, False),
        ({"true-client-ip": "10.0.0.1"}, False),
        ({"x-envoy-external-address": "10.0.0.1"}, False),
        ({"sec-fetch-mode": "cors"}, False),
        ({"referer": "http://localhost/"}, False),
        ({"host": "localhost:80@evil.example"}, False),
        ({"host": "[::1]evil.example"}, False),
    ):
        answer = await post(stack, body, {**JSON, **headers})
        assert answer.status_code == (200 if allowed else 401), headers
        assert allowed or answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_keyless_body_that_a_web_page_could_send_is_refused(stack) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await post(stack, b'{"prompt": "a"}', {"content-type": kind})
        assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert (await post(stack, b'{"prompt": "a"}', {"content-type": "application/json; charset=utf-8"})).status_code == 200


async def test_a_keyless_call_without_a_sender_is_the_developers_own(stack) -> None:
    answer = await stack.http.post("/route/explain", json={"prompt": "a"})
    assert answer.json()["grant"]["user_id"] == "dev:local"
    assert answer.json()["grant"]["roles"] == ["admin"]


async def test_a_keyless_call_has_to_name_the_dao_where_there_is_no_default(start) -> None:
    async with start(dao={"default": None}) as stack:
        answer = await stack.http.post("/route", json={"prompt": "a"})
    assert (answer.status_code, answer.json()["field"]) == (400, "metadata.dao_id")


# --- keys


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_key_speaks_for_itself_with_its_role_and_for_nobody_else(stack) -> None:
    headers = bearer(await stack.key("member"))
    own = await stack.http.post("/route", json={"prompt": "a", "metadata": {"plain": True}}, headers=headers)
    assert own.status_code == 200
    for metadata, reason in (({"user_id": "tg:admin001"}, "may_not_act_as"), ({"dao_id": "other-dao"}, "dao_mismatch")):
        refused = await stack.http.post("/route", json={"prompt": "a", "metadata": metadata}, headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (403, reason)


async def test_a_key_that_may_act_as_others_speaks_for_members_and_never_for_other_keys(stack) -> None:
    headers = bearer(await stack.key("admin", act_as=True))
    other = (await stack.key("admin")).split("_")[1]
    for user, status in (("tg:12345", 200), ("tg:999", 403), (f"key:{other}", 403), ("dev:local", 403)):
        answer = await stack.http.post("/route", json={"prompt": "a", "metadata": {"user_id": user, "plain": True}}, headers=headers)
        assert answer.status_code == status, user


async def test_a_wrong_key_is_401_even_where_none_is_needed(stack) -> None:
    good = await stack.key("member")
    for header in ("Bearer nonsense", f"Bearer {good}x", f"Basic {good}", "Bearer", "Bearer dagi_0_0", f"Bearer {good.upper()}"):
        answer = await stack.http.post("/route", json={"prompt": "a"}, headers={"authorization": header})
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED"), header


async def test_the_running_stack_notices_by_itself_that_a_key_was_revoked(stack) -> None:
    key = await stack.key("member")
    database = stack.installation.database()
    from dagi.stores.keys import Keys
    from dagi.testing.clock import FakeClock

    await Keys(database, FakeClock()).revoke(key.split("_")[1])
    await database.close()
    async with asyncio.timeout(10):
        while (await stack.http.get("/info", headers=bearer(key))).status_code != 401:
            pass


async def test_production_serves_nobody_without_a_key_but_health_and_bare_readiness(start) -> None:
    async with start(environment="production", dao={"demo": False, "default": None}) as stack:
        public = await stack.http.get("/health"), await stack.http.get("/ready")
        assert [answer.status_code for answer in public] == [200, 200]
        assert public[1].json() == {"status": "ready"}
        for path in ("/info", "/metrics", "/providers", "/rules", "/openapi.json"):
            assert (await stack.http.get(path)).status_code == 401, path
        for path in ("/route", "/route/explain"):
            assert (await stack.http.post(path, json={"prompt": "a"})).status_code == 401, path


async def test_production_shows_details_to_keys_with_the_entitlement_alone(start) -> None:
    async with start(environment="production", dao={"demo": False, "default": None}) as stack:
        database = stack.installation.database()
        from dagi.stores.daos import Daos
        from dagi.testing.clock import FakeClock

        await Daos(database, FakeClock()).create(DAO, "Green")
        await database.close()
        admin, member = bearer(await stack.key("admin")), bearer(await stack.key("member"))
        for path in ("/metrics", "/providers", "/rules"):
            assert (await stack.http.get(path, headers=admin)).status_code == 200
            assert (await stack.http.get(path, headers=member)).status_code == 403
        assert (await stack.http.post("/route/explain", json={"prompt": "a"}, headers=member)).status_code == 403
        assert "dependencies" in (await stack.http.get("/ready", headers=admin)).json()
        assert "dependencies" not in (await stack.http.get("/ready", headers=member)).json()
        assert (await stack.http.get("/info", headers=member)).json()["environment"] == "production"


# --- operators


async def test_readiness_names_each_dependency_with_its_state_and_is_503_without_the_database(stack) -> None:
    well = await stack.http.get("/ready")
    assert (well.status_code, well.json()["status"]) == (200, "ready")
    states = {found["name"]: found["state"] for found in well.json()["dependencies"]}
    assert states == {"database": "ok", "access": "ok", "record_room": "ok", "records": "ok"}
    stack.database.write_bytes(b"this was a database " * 1000)
    for leftover in ("-wal", "-shm"):
        stack.database.with_name(stack.database.name + leftover).unlink(missing_ok=True)
    # A new connection sees the broken file.
    await stack.front.directory._database.close()  # noqa: SLF001
    ill = await stack.http.get("/ready")
    assert (ill.status_code, ill.json()["status"]) == (503, "not_ready")
    assert ill.json()["dependencies"][0]["state"] == "down"


async def test_a_missing_embedder_degrades_and_does_not_stop(start) -> None:
    async with start(knowledge={"embedder": True}) as stack:
        answer = await stack.http.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


async def test_providers_and_rules_show_what_is_in_force(stack) -> None:
    providers = {found["name"]: found for found in (await stack.http.get("/providers")).json()["providers"]}
    assert providers["model"]["state"] == "closed"
    assert providers["llm_remote_openai"]["state"] == "not_configured"
    assert "OPENAI_API_KEY" in providers["llm_remote_openai"]["detail"]
    assert [name for name, found in providers.items() if found["selectable"]] == ["native"]
    rules = (await stack.http.get("/rules")).json()["rules"]
    assert [(rule["name"], rule["conditions"]) for rule in rules][-1] == ("chat", ["mode: chat"])


async def test_metrics_count_requests_by_how_they_ended(stack) -> None:
    await stack.route("Hello?")
    await stack.route("Hello?", user="tg:999")
    text = (await stack.http.get("/metrics")).text
    assert 'dagi_requests_total{mode="chat",outcome="ok",provider="model",rule="chat"} 1.0' in text
    assert 'outcome="RBAC_PERMISSION_DENIED"' in text
    assert "process_resident_memory_bytes" in text
    assert "tg:12345" not in text


async def test_the_api_description_names_every_endpoint_and_an_absolute_server(stack) -> None:
    document = (await stack.http.get("/openapi.json")).json()
    assert document["servers"] == [{"url": stack.url}]
    assert sorted(document["paths"]) == [
        "/cache",
        "/chat/completions",
        "/dify/openapi.json",
        "/embeddings",
        "/health",
        "/info",
        "/metrics",
        "/models",
        "/models/{model}",
        "/openapi.json",
        "/providers",
        "/ready",
        "/responses",
        "/responses/{response}",
        "/route",
        "/route/explain",
        "/rules",
        "/sessions",
        "/sessions/{session_id}",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/responses",
        "/v1/responses/{response}",
    ]
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


async def test_a_defect_of_ours_is_a_500_that_tells_the_request_id_alone_and_logs_the_rest(stack) -> None:
    stack.front.router.policy = None  # a broken invariant, as a defect would leave it
    answer = await stack.http.post("/route", json={"prompt": "a"})
    assert answer.status_code == 500
    assert answer.json() == {
        "status": "error",
        "code": "INTERNAL",
        "message": "An internal error occurred. The request id helps the operator to find it.",
        "request_id": answer.headers["x-request-id"],
    }
    (line,) = [line for line in stack.log() if line["event"] == "internal_error"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "AttributeError" in json.dumps(line)


async def test_the_traceback_of_a_defect_holds_neither_the_prompt_nor_the_key(stack) -> None:
    key = await stack.key("admin", act_as=True)
    stack.front.router.policy = None
    body = {"prompt": "the password of the vault", "metadata": {"user_id": "tg:12345"}}
    assert (await stack.http.post("/route", json=body, headers=bearer(key))).status_code == 500
    text = json.dumps(stack.log())
    assert "Traceback" in text or "AttributeError" in text
    assert "vault" not in text
    assert key.split("_")[2] not in text


async def test_a_defect_in_the_middle_of_a_stream_is_told_within_it(stack) -> None:
    class Broken:
        async def tell(self, _message, _grant, ear):
            ear.hear(Delta("one"))
            raise RuntimeError("a defect")

    stack.front.router.policy.targets._chains[("model", "native", "dao_facts")] = Broken()  # noqa: SLF001
    events = await stack.events("Count.")
    assert [event["type"] for event in events] == ["delta", "error"]
    assert events[-1]["code"] == "INTERNAL"
    assert [line["event"] for line in stack.log() if line["level"] == "error"] == ["internal_error"]


async def test_a_stale_directory_denies_with_503_and_asks_no_target(stack) -> None:
    stack.front.directory._fresh_until = 0.0  # noqa: SLF001 - as five seconds without the database leave it
    answer = await stack.route("Hello?")
    assert (answer.status_code, answer.json()["code"]) == (503, "ACCESS_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert stack.upstream.heard == []


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_keys = st.sampled_from([*RouteBody.__struct_fields__, "other"])
SENDER = Sender(dao_id=DAO, user_id="tg:1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_keys, _json) | _json)
def test_any_json_is_a_message_or_an_error_of_ours(body: object) -> None:
    try:
        message = to_message(read_body(msgspec.json.encode(body)), SENDER, "r")
    except DagiError as error:
        assert error.facts["field"]
    else:
        assert message.tokens() >= 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
@example(b'{"":')
@example(b'{"prompts": "a", "mode": ' + b"[" * 100_000)
@example(b'{"prompts": "\xff"}')
def test_any_bytes_are_a_body_or_an_error_of_ours(body: bytes) -> None:
    try:
        read_body(body)
    except DagiError as error:
        assert error.code == "VALIDATION_ERROR"
