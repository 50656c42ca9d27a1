"""Coding agents speak the Responses API: the official SDK against the running router."""

import json
from collections.abc import AsyncGenerator, Sequence

import openai
import pytest
from pydantic import BaseModel

from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
LOOK = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}, "strict": False}
# To the rule without a context of its own.
PLAIN = {"plain": True}
STREAM = {"content-type": "text/event-stream"}


@pytest.fixture
async def client(stack) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=await stack.key("member"), max_retries=0) as client:
        yield client


def completion(message: dict[str, object], finish: str = "stop", **usage: object) -> Answer:
    counts = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, **usage}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "scripted", "choices": [choice], "usage": counts}
    return Answer(body=json.dumps(body).encode())


def chunks(deltas: Sequence[dict[str, object]], finish: str = "stop") -> Answer:
    frames = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    frames.append({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    body = "".join(f"data: {json.dumps({**base, **frame})}\n\n" for frame in frames) + "data: [DONE]\n\n"
    return Answer(body=body.encode(), headers=STREAM)


def call(name: str, arguments: str, identity: str = "call_1") -> dict[str, object]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


async def test_a_question_is_answered_and_nothing_but_the_question_was_asked(stack, client) -> None:
    stack.upstream.script(Answer(text="A food cooperative."))
    response = await client.responses.create(
        model="dagi-stack", instructions="Be brief.", input="What is this DAO?", max_output_tokens=50, metadata=PLAIN
    )
    assert (response.output_text, response.status, response.object, response.store) == (
        "A food cooperative.",
        "completed",
        "response",
        False,
    )
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert (response.instructions, response.max_output_tokens) == ("Be brief.", 50)
    heard = stack.upstream.heard[0].body
    assert heard["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is this DAO?"}]
    assert heard["max_tokens"] == 50
    assert not {"input", "instructions", "store", "max_output_tokens"} & set(heard)


async def test_a_tool_is_called_and_its_result_told_as_agents_do(stack, client) -> None:
    stack.upstream.script(completion({"content": None, "tool_calls": [call("look", '{"a":1}')]}, "tool_calls"), Answer(text="Found it."))
    asked: list[object] = [{"role": "user", "content": "Look."}]
    first = await client.responses.create(model="dagi-stack", input=asked, tools=[LOOK], tool_choice="auto", store=False, metadata=PLAIN)
    (wanted,) = first.output
    assert (wanted.type, wanted.name, wanted.arguments, wanted.call_id) == ("function_call", "look", '{"a":1}', "call_1")
    asked += [*first.output, {"type": "function_call_output", "call_id": wanted.call_id, "output": "a key"}]
    second = await client.responses.create(model="dagi-stack", input=asked, tools=[LOOK], metadata=PLAIN)
    assert second.output_text == "Found it."
    assert stack.upstream.heard[0].body["tools"][0]["function"]["name"] == "look"
    assert stack.upstream.heard[1].body["messages"] == [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call("look", '{"a":1}')]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a key"},
    ]


async def test_a_stream_has_openais_events_in_their_order_and_the_sdk_puts_them_together(stack, client) -> None:
    stack.upstream.script(chunks([{"reasoning_content": "hm"}, {"content": "one"}, {"content": " two"}]))
    async with client.responses.stream(model="dagi-stack", input="Count.") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "one two"
    assert final.output[0].summary[0].text == "hm"
    assert (final.status, final.usage.total_tokens) == ("completed", 5)
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


async def test_calls_are_streamed_in_pieces_one_after_another(stack, client) -> None:
    stack.upstream.script(
        chunks(
            [
                {"tool_calls": [{"index": 0, **call("look", "")}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
                {"tool_calls": [{"index": 1, **call("look", '{"b":2}', "call_2")}]},
            ],
            "tool_calls",
        )
    )
    async with client.responses.stream(model="dagi-stack", input="Look.", tools=[LOOK]) as stream:
        arguments = [event.arguments async for event in stream if event.type == "response.function_call_arguments.done"]
        final = await stream.get_final_response()
    assert arguments == ['{"a":1}', '{"b":2}']
    assert [(item.call_id, item.arguments) for item in final.output] == [("call_1", '{"a":1}'), ("call_2", '{"b":2}')]


async def test_frames_name_their_event_and_are_numbered(stack) -> None:
    body = {"model": "dagi-stack", "input": "x", "stream": True, "metadata": {"user_id": "tg:12345"}}
    answer = await stack.http.post("/responses", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = [frame.split("\n") for frame in answer.text.split("\n\n")[:-1]]
    told = [json.loads(data.removeprefix("data: ")) for _, data in frames]
    assert [name for name, _ in frames] == [f"event: {event['type']}" for event in told]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


async def test_an_answer_of_a_wished_for_form_is_parsed_by_the_sdk(stack, client) -> None:
    class Place(BaseModel):
        name: str

    stack.upstream.script(Answer(text='{"name":"Kyiv"}'))
    response = await client.responses.parse(model="dagi-stack", input="Where?", text_format=Place)
    assert response.output_parsed == Place(name="Kyiv")
    form = stack.upstream.heard[0].body["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == ("json_schema", "Place", True)


async def test_thoughts_are_told_beside_the_answer_and_counted(stack, client) -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 1}, "prompt_tokens_details": {"cached_tokens": 2}}
    stack.upstream.script(completion({"content": "Four.", "reasoning_content": "two and two"}, **details))
    response = await client.responses.create(model="dagi-stack", input="2+2?", reasoning={"effort": "low", "summary": "auto"})
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].summary[0].text == "two and two"
    assert (response.usage.output_tokens_details.reasoning_tokens, response.usage.input_tokens_details.cached_tokens) == (1, 2)
    assert stack.upstream.heard[0].body["reasoning_effort"] == "low"


async def test_an_answer_that_ran_out_of_tokens_is_incomplete(stack, client) -> None:
    stack.upstream.script(Answer(text="one", finish_reason="length"), Answer(text="one", finish_reason="length"))
    whole = await client.responses.create(model="dagi-stack", input="Count.")
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    stream = await client.responses.create(model="dagi-stack", input="Count.", stream=True)
    *_, last = [event async for event in stream]
    assert (last.type, last.response.incomplete_details.reason) == ("response.incomplete", "max_output_tokens")


async def test_a_stream_that_breaks_off_ends_as_failed(stack, client) -> None:
    stack.upstream.script(Answer(text="one two three", reset_after=2))
    stream = await client.responses.create(model="dagi-stack", input="Count.", stream=True)
    *_, last = [event async for event in stream]
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", "server_error")


async def test_a_stream_that_breaks_off_before_its_first_word_falls_back_and_where_nobody_answers_is_an_http_error(stack, client) -> None:
    stack.upstream.script(Answer(status=400), Answer(text="from the second"))
    response = await client.responses.create(model="dagi-stack", input="Hello?")
    assert response.output_text == "from the second"
    stack.upstream.script(Answer(status=400))
    with pytest.raises(openai.APIStatusError, match="native answered with HTTP 400"):
        await client.responses.create(model="native", input="Hello?", stream=True)


async def test_a_provider_may_be_named_and_one_of_another_protocol_answers_too(stack, client) -> None:
    stack.upstream.script(Answer(text="hello"))
    response = await client.responses.create(model="native", input=[{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}])
    assert (response.output_text, response.model) == ("hello", "native")
    assert stack.upstream.heard[0].path == "/api/chat"


async def test_what_needs_a_memory_is_refused_and_no_response_is_ever_found(stack, client) -> None:
    with pytest.raises(openai.BadRequestError, match="keeps no responses") as refused:
        await client.responses.create(model="dagi-stack", input="x", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.create(model="dagi-stack", input="x", background=True)
    for ask in (client.responses.retrieve("resp_1"), client.responses.delete("resp_1"), client.responses.cancel("resp_1")):
        with pytest.raises(openai.NotFoundError, match="keeps none"):
            await ask
    gone = await stack.http.get("/responses/resp_1")
    assert (gone.status_code, "error" in gone.json()) == (404, True)
    assert stack.upstream.heard == []


async def test_a_tool_this_server_does_not_run_is_named(stack, client) -> None:
    with pytest.raises(openai.BadRequestError, match="web_search") as refused:
        await client.responses.create(model="dagi-stack", input="x", tools=[LOOK, {"type": "web_search"}])
    assert refused.value.param == "tools[1].type"
    assert stack.upstream.heard == []


async def test_a_stranger_and_an_unknown_model_are_refused_as_everywhere(stack, client) -> None:
    body = {"model": "dagi-stack", "input": "x", "metadata": {"user_id": "tg:404"}}
    assert (await stack.http.post("/v1/responses", json=body)).status_code == 403
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.create(model="gpt-9", input="x")
    assert unknown.value.code == "model_not_found"


async def test_a_caller_who_leaves_stops_the_upstream(stack, client) -> None:
    stack.upstream.script(Answer(text="one two three", hang_after=2))
    stream = await client.responses.create(model="dagi-stack", input="Count.", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    await stack.upstream.until(lambda: stack.upstream.disconnects == 1)


async def test_cursors_agent_sends_such_a_body_to_chat_completions_and_gets_a_chat_completion(stack, client) -> None:
    stack.upstream.script(completion({"content": None, "tool_calls": [call("look", "{}")]}, "tool_calls"))
    headers = {"authorization": f"Bearer {client.api_key}"}
    patch = {"type": "custom", "name": "ApplyPatch", "description": "d"}
    body = {"model": "dagi-stack", "input": [{"role": "user", "content": "Look."}], "tools": [LOOK, patch], "reasoning": {"effort": "low"}}
    answer = await stack.http.post("/v1/chat/completions", json={**body, "metadata": PLAIN}, headers=headers)
    assert answer.json()["choices"][0]["message"]["tool_calls"] == [call("look", "{}")]
    heard = stack.upstream.heard[0].body
    assert heard["messages"] == [{"role": "user", "content": "Look."}]
    assert [tool[tool["type"]]["name"] for tool in heard["tools"]] == ["look", "ApplyPatch"]
    assert heard["reasoning_effort"] == "low"


async def test_cursor_mixes_flat_tools_among_nested_ones_and_they_are_put_right(stack, client) -> None:
    nested = {"type": "function", "function": {"name": "read"}}
    await client.chat.completions.create(model="dagi-stack", messages=[{"role": "user", "content": "x"}], tools=[nested, LOOK])
    assert [tool["function"]["name"] for tool in stack.upstream.heard[0].body["tools"]] == ["read", "look"]
