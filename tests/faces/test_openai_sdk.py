"""The official `openai` SDK and `langchain-openai`, which nobody here wrote, against a running router."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from dagi.access.limits import Quota
from dagi.testing.upstream import Answer

pytestmark = pytest.mark.anyio
USER = [{"role": "user", "content": "What is the weather in Kyiv?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PLAIN = {"metadata": {"plain": True}}
EVENTS = {"content-type": "text/event-stream"}


@asynccontextmanager
async def client(stack, **options: object) -> AsyncGenerator[openai.AsyncOpenAI]:
    key = await stack.key("member", **options)
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{stack.url}/v1") as made:
        yield made


def whole(message: dict[str, object], finish: str = "stop", **more: object) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer = {"id": "u1", "object": "chat.completion", "created": 7, "model": "scripted", "choices": [choice], "usage": usage, **more}
    return Answer(body=json.dumps(answer).encode())


def chunk(delta: dict[str, object] | None, finish: str | None = None, index: int = 0, **more: object) -> str:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    body = {"id": "u1", "object": "chat.completion.chunk", "created": 7, "model": "scripted", "choices": choices, **more}
    return f"data: {json.dumps(body)}\n\n"


def streamed(*chunks: str) -> Answer:
    return Answer(body="".join([*chunks, "data: [DONE]\n\n"]).encode(), headers=EVENTS)


def call(index: int, arguments: str, **more: str) -> dict[str, object]:
    function = {"arguments": arguments, **({"name": more.pop("name")} if "name" in more else {})}
    return {"tool_calls": [{"index": index, "function": function, **more}]}


CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Kyiv"}'}}


async def test_a_question_is_answered_whole_and_streamed(stack) -> None:
    stack.upstream.script(Answer(text="Sunny and warm."), Answer(text="Sunny and warm."))
    async with client(stack) as ai:
        answer = await ai.chat.completions.create(model="dagi-stack", messages=USER)
        assert answer.choices[0].message.content == "Sunny and warm."
        assert answer.usage.total_tokens == 10
        assert answer.id == "c1"
        async with ai.chat.completions.stream(model="dagi-stack", messages=USER, stream_options={"include_usage": True}) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_completion()
    message = final.choices[0].message
    assert (message.role, message.content, final.choices[0].finish_reason) == ("assistant", "Sunny and warm.", "stop")
    assert final.usage.total_tokens == 10


async def test_without_v1_in_the_base_url_it_works_as_well(stack) -> None:
    key = await stack.key("member")
    async with openai.AsyncOpenAI(api_key=key, base_url=stack.url) as ai:
        assert (await ai.chat.completions.create(model="dagi-stack", messages=USER)).choices[0].message.content
        assert [model.id async for model in await ai.models.list()] == ["dagi-stack", "native"]
        assert (await ai.models.retrieve("dagi-stack")).id == "dagi-stack"


async def test_a_tool_is_called_and_its_result_comes_back(stack) -> None:
    stack.upstream.script(whole({"tool_calls": [CALL]}, "tool_calls"), Answer(text="It is sunny."))
    async with client(stack) as ai:
        first = await ai.chat.completions.create(
            model="dagi-stack", messages=USER, tools=[TOOL], tool_choice="auto", parallel_tool_calls=False, extra_body=PLAIN
        )
        assert first.choices[0].finish_reason == "tool_calls"
        (asked,) = first.choices[0].message.tool_calls
        assert (asked.function.name, json.loads(asked.function.arguments)) == ("weather", {"city": "Kyiv"})
        told = {"role": "tool", "tool_call_id": asked.id, "content": "sunny"}
        messages = [*USER, first.choices[0].message.to_dict(), told]
        second = await ai.chat.completions.create(model="dagi-stack", messages=messages, tools=[TOOL], extra_body=PLAIN)
    assert second.choices[0].message.content == "It is sunny."
    sent = stack.upstream.heard[1].body
    assert sent["messages"] == messages
    assert sent["tools"] == [TOOL]
    assert stack.upstream.heard[0].body["parallel_tool_calls"] is False


ODD_STREAMS = {
    "as they should be": [
        chunk({"role": "assistant", "content": None}),
        chunk(call(0, "", id="call_1", type="function", name="weather")),
        chunk(call(0, '{"city":')),
        chunk(call(0, '"Kyiv"}')),
        chunk({}, "tool_calls"),
    ],
    "the role and the id in every chunk": [
        chunk({"role": "assistant", "content": None, **call(0, '{"city":', id="call_1", type="function", name="weather")}),
        chunk({"role": "assistant", "content": None, **call(0, '"Kyiv"}', id="call_1", type="function", name="weather")}),
        chunk({"role": "assistant"}, "tool_calls"),
    ],
    "no index, no id, arguments as an object, finished by stop": [
        chunk({"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Kyiv"}}}]}),
        chunk({}, "stop"),
    ],
    "all in one chunk with the finish": [
        chunk({"role": "assistant", **call(0, '{"city":"Kyiv"}', id="call_1", type="function", name="weather")}, "tool_calls"),
    ],
}


@pytest.mark.parametrize("chunks", ODD_STREAMS.values(), ids=ODD_STREAMS)
async def test_a_streamed_call_of_a_tool_is_put_together_whatever_the_upstream_sends(stack, chunks: list[str]) -> None:
    stack.upstream.script(streamed(*chunks))
    async with client(stack) as ai, ai.chat.completions.stream(model="dagi-stack", messages=USER, tools=[TOOL]) as stream:
        async for _ in stream:
            pass
        final = (await stream.get_final_completion()).choices[0]
    (asked,) = final.message.tool_calls
    assert (final.message.role, final.finish_reason) == ("assistant", "tool_calls")
    assert asked.id
    assert (asked.type, asked.function.name, json.loads(asked.function.arguments)) == ("function", "weather", {"city": "Kyiv"})


async def test_several_calls_have_ids_of_their_own(stack) -> None:
    two = [{"function": {"name": "weather", "arguments": {"city": city}}} for city in ("Kyiv", "Lviv")]
    line = {"model": "m", "message": {"role": "assistant", "content": "", "tool_calls": two}, "done": True, "done_reason": "stop"}
    body = json.dumps(line).encode()
    stack.upstream.script(Answer(body=body), Answer(body=body + b"\n", headers={"content-type": "application/x-ndjson"}))
    async with client(stack) as ai:
        answer = await ai.chat.completions.create(model="native", messages=USER, tools=[TOOL])
        async with ai.chat.completions.stream(model="native", messages=USER, tools=[TOOL]) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_completion()
    ids: set[str] = set()
    for choice in (answer.choices[0], final.choices[0]):
        assert choice.finish_reason == "tool_calls"
        assert [json.loads(asked.function.arguments)["city"] for asked in choice.message.tool_calls] == ["Kyiv", "Lviv"]
        ids |= {asked.id for asked in choice.message.tool_calls}
    assert len(ids) == 4
    assert stack.upstream.heard[0].body["tools"] == [TOOL]


class Weather(BaseModel):
    city: str
    degrees: int


async def test_an_answer_of_a_form_is_parsed(stack) -> None:
    text = '{"city":"Kyiv","degrees":21}'
    stack.upstream.script(Answer(text=text), Answer(text=text))
    async with client(stack) as ai:
        for model in ("dagi-stack", "native"):
            answer = await ai.chat.completions.parse(model=model, messages=USER, response_format=Weather)
            assert answer.choices[0].message.parsed == Weather(city="Kyiv", degrees=21)
    assert stack.upstream.heard[0].body["response_format"]["type"] == "json_schema"
    assert stack.upstream.heard[1].body["format"]["properties"]["degrees"]["type"] == "integer"


async def test_several_choices_and_probabilities_come_through_whole(stack) -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}], "refusal": None}
    choices = [
        {"index": place, "message": {"role": "assistant", "content": text}, "logprobs": logprobs, "finish_reason": "stop"}
        for place, text in enumerate("ab")
    ]
    stack.upstream.script(whole({}, choices=choices, system_fingerprint="fp"))
    async with client(stack) as ai:
        answer = await ai.chat.completions.create(model="dagi-stack", messages=USER, n=2, logprobs=True, seed=3, stop=["x"])
    assert [choice.message.content for choice in answer.choices] == ["a", "b"]
    assert answer.choices[1].logprobs.content[0].token == "a"
    assert answer.system_fingerprint == "fp"
    assert {name: stack.upstream.heard[0].body[name] for name in ("n", "logprobs", "seed", "stop")} == {
        "n": 2,
        "logprobs": True,
        "seed": 3,
        "stop": ["x"],
    }


async def test_several_choices_come_through_streamed(stack) -> None:
    stack.upstream.script(
        streamed(
            chunk({"role": "assistant", "content": ""}),
            chunk({"role": "assistant", "content": ""}, index=1),
            chunk({"content": "a"}),
            chunk({"content": "b"}, index=1),
            chunk({}, "stop"),
            chunk({"content": "c"}, index=1),
            chunk({}, "stop", index=1),
        )
    )
    async with client(stack) as ai, ai.chat.completions.stream(model="dagi-stack", messages=USER, n=2) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    told = {choice.index: (choice.message.role, choice.message.content, choice.finish_reason) for choice in final.choices}
    assert told == {0: ("assistant", "a", "stop"), 1: ("assistant", "bc", "stop")}


@pytest.mark.parametrize(
    ("trouble", "kind", "code"),
    [
        (Answer(status=500), openai.InternalServerError, "provider_error"),
        (
            Answer(status=400, code="context_length_exceeded", error="maximum context length"),
            openai.BadRequestError,
            "context_length_exceeded",
        ),
    ],
    ids=["upstream fails", "too long"],
)
async def test_what_we_have_retried_is_not_retried_by_the_sdk(stack, trouble: Answer, kind: type[Exception], code: str) -> None:
    stack.upstream.script(*[trouble] * 9)
    async with client(stack) as ai:
        with pytest.raises(kind) as caught:
            await ai.chat.completions.create(model="native", messages=USER)
    assert caught.value.code == code
    assert len(stack.upstream.heard) == (2 if code == "provider_error" else 1)


async def test_errors_are_of_the_classes_that_clients_catch(stack) -> None:
    async with client(stack) as ai:
        with pytest.raises(openai.NotFoundError) as missing:
            await ai.chat.completions.create(model="gpt-9", messages=USER)
        with pytest.raises(openai.NotFoundError):
            await ai.models.retrieve("gpt-9")
        with pytest.raises(openai.BadRequestError) as wrong:
            await ai.chat.completions.create(model="dagi-stack", messages=[{"role": "nobody", "content": "a"}])
        with pytest.raises(openai.PermissionDeniedError) as denied:
            await ai.chat.completions.create(model="dagi-stack", messages=USER, metadata={"user_id": "tg:12345"})
        with pytest.raises(openai.AuthenticationError) as unknown:
            await ai.with_options(api_key="sk-none").chat.completions.create(model="dagi-stack", messages=USER)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert (wrong.value.code, wrong.value.param) == ("invalid_value", "messages[0].role")
    assert (denied.value.code, unknown.value.code) == ("permission_denied", "invalid_api_key")
    assert stack.upstream.heard == []


async def test_limits_are_rate_limit_errors_that_say_how_long(stack) -> None:
    key = await stack.key("member", quota=Quota(rpm=1))
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{stack.url}/v1", max_retries=0) as ai:
        first = await ai.chat.completions.with_raw_response.create(model="dagi-stack", messages=USER)
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as caught:
            await ai.chat.completions.create(model="dagi-stack", messages=USER, stream=True)
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_a_stream_that_dies_raises_and_one_that_dies_early_falls_back(stack) -> None:
    stack.upstream.script(Answer(text="one two", error_after=1))
    async with client(stack) as ai:
        stream = await ai.chat.completions.create(model="dagi-stack", messages=USER, stream=True)
        got = [(await anext(stream)).choices[0].delta.content for _ in range(2)]
        with pytest.raises(openai.APIError):
            await anext(stream)
        assert got == ["", "one"]
        stack.upstream.script(Answer(reset_after=0), Answer(reset_after=0), Answer(text="from the second"))
        parts = [part async for part in await ai.chat.completions.create(model="dagi-stack", messages=USER, stream=True)]
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "from the second"


async def test_a_client_that_leaves_frees_the_place_in_the_queue(stack) -> None:
    stack.upstream.script(Answer(text="one two", hang_after=1))
    async with client(stack) as ai:
        stream = await ai.chat.completions.create(model="dagi-stack", messages=USER, stream=True)
        await anext(aiter(stream))
        assert stack.upstream.active == 1
        await stream.close()
        await stack.upstream.until(lambda: stack.upstream.active == 0)
        stack.upstream.script(Answer(text="one", hang_after=0))
        asking = asyncio.create_task(ai.chat.completions.create(model="dagi-stack", messages=USER))
        await stack.upstream.until(lambda: stack.upstream.active == 1)
        asking.cancel()
        await stack.upstream.until(lambda: stack.upstream.active == 0)
    assert stack.upstream.disconnects == 2


async def test_langchain_asks_streams_and_calls_tools(stack) -> None:
    stack.upstream.script(
        Answer(text="Sunny."),
        Answer(text="Sunny and warm."),
        streamed(*ODD_STREAMS["as they should be"]),
        Answer(text="It is sunny."),
    )
    key = await stack.key("member")
    model = ChatOpenAI(model="dagi-stack", api_key=key, base_url=f"{stack.url}/v1", extra_body=PLAIN, stream_usage=True)
    answer = await model.ainvoke("What is the weather?")
    assert answer.content == "Sunny."
    assert answer.usage_metadata["total_tokens"] > 0
    pieces = [piece async for piece in model.astream("What is the weather?")]
    total = pieces[0]
    for piece in pieces[1:]:
        total += piece
    assert (total.content, total.usage_metadata["total_tokens"]) == ("Sunny and warm.", 10)
    tools = model.bind_tools([TOOL])
    asked = None
    async for piece in tools.astream("What is the weather in Kyiv?"):
        asked = piece if asked is None else asked + piece
    assert [(one["name"], one["args"]) for one in asked.tool_calls] == [("weather", {"city": "Kyiv"})]
    told = ToolMessage("sunny", tool_call_id=asked.tool_calls[0]["id"])
    final = await tools.ainvoke([HumanMessage("What is the weather in Kyiv?"), asked, told])
    assert final.content == "It is sunny."
    assert [turn["role"] for turn in stack.upstream.heard[-1].body["messages"]] == ["user", "assistant", "tool"]
