"""Asks a router with Dify's own class for OpenAI-compatible models, and prints what Dify would make of it as one line of JSON.

Runs in an environment of its own (scripts/clients.sh): `dify_model.py URL KEY SCENARIO`.
"""

import json
import sys

from dify_plugin.entities.model.message import (
    AssistantPromptMessage,
    PromptMessageTool,
    SystemPromptMessage,
    ToolPromptMessage,
    UserPromptMessage,
)
from dify_plugin.interfaces.model.openai_compatible.llm import OAICompatLargeLanguageModel
from dify_plugin.interfaces.model.openai_compatible.text_embedding import OAICompatEmbeddingModel

MODEL = "dagi-stack"
QUESTION = [SystemPromptMessage(content="Be brief."), UserPromptMessage(content="Hello?")]
VOTE = PromptMessageTool(
    name="vote",
    description="Votes.",
    parameters={"type": "object", "properties": {"proposal": {"type": "integer"}}, "required": ["proposal"]},
)
# What Dify's plugin adds to what its user sets.
ADDED = {"temperature": 0.7, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "max_tokens": 512}
STREAMED = {**ADDED, "stream_options": {"include_usage": True}, "enable_thinking": False, "thinking": {"type": "disabled"}}


class Vectors(OAICompatEmbeddingModel):
    """Dify's own class, but for its tokenizer, which is downloaded when it is first asked."""

    def _get_num_tokens_by_gpt2(self, text: str) -> int:
        return len(text) // 4


def credentials(url: str, key: str, **more: str) -> dict[str, str]:
    """The fields of Dify's form as docs/dify-integration.md fills them in."""
    return {
        "endpoint_url": url,
        "api_key": key,
        "mode": "chat",
        "context_size": "8192",
        "max_tokens_to_sample": "4096",
        "function_calling_type": "tool_call",
        "stream_function_calling": "supported",
        "vision_support": "no_support",
        "stream_mode_delimiter": "\\n\\n",
        **more,
    }


def heard(chunks: object) -> dict[str, object]:
    """A stream as Dify's applications see it."""
    text, calls, last = "", [], None
    for chunk in chunks:
        last = chunk.delta
        text += last.message.content or ""
        calls += [[call.id, call.function.name, call.function.arguments] for call in last.message.tool_calls]
    return {"text": text, "calls": calls, "finish_reason": last.finish_reason, "usage": counted(last.usage)}


def counted(usage: object) -> list[int]:
    """Its tokens."""
    return [usage.prompt_tokens, usage.completion_tokens]


def run(model: OAICompatLargeLanguageModel, scenario: str, form: dict[str, str]) -> dict[str, object]:
    """One scenario."""
    if scenario == "embed":
        vectors = Vectors(model_schemas=[])
        form = {**form, "context_size": "2048"}
        vectors.validate_credentials("model", form)
        made = vectors.invoke("model", form, ["a", "bbb", "cc"], user="a label")
        return {"vectors": made.embeddings, "tokens": made.usage.total_tokens}
    # What the plugin's own class calls, for it adds parameters that the public method knows nothing of.
    invoke = model._invoke  # noqa: SLF001
    if scenario == "save":
        model.validate_credentials(MODEL, form)
        model.validate_credentials(MODEL, {**form, "stream_mode_auth": "use"})
        return {"saved": True}
    if scenario == "whole":
        answer = invoke(MODEL, form, QUESTION, dict(ADDED), stop=["Observation"], stream=False, user="a label")
        return {"text": answer.message.content, "usage": counted(answer.usage)}
    if scenario == "stream":
        return heard(invoke(MODEL, form, QUESTION, dict(STREAMED), stream=True, user="a label"))
    if scenario == "tools":
        asked = heard(invoke(MODEL, form, QUESTION, dict(STREAMED), tools=[VOTE], stream=True))
        calls = [
            AssistantPromptMessage.ToolCall(
                id=identity, type="function", function=AssistantPromptMessage.ToolCall.ToolCallFunction(name=name, arguments=arguments)
            )
            for identity, name, arguments in asked["calls"]
        ]
        told = [AssistantPromptMessage(content="", tool_calls=calls), ToolPromptMessage(content="done", tool_call_id=asked["calls"][0][0])]
        return {"asked": asked, "then": heard(invoke(MODEL, form, [*QUESTION, *told], dict(STREAMED), tools=[VOTE], stream=True))}
    raise SystemExit(f"no scenario {scenario}")


def main() -> None:
    """Print what came of it; an error of Dify's is a result too."""
    url, key, scenario = sys.argv[1:4]
    try:
        result = run(OAICompatLargeLanguageModel(model_schemas=[]), scenario, credentials(url, key))
    except Exception as error:  # noqa: BLE001 - whatever Dify raises is what is looked at
        result = {"raised": type(error).__name__, "says": str(error)}
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
