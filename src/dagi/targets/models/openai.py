"""Provider `openai`."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from typing_extensions import override

from dagi.targets.models.chat_api import ChatApi, ChatSettings
from dagi.targets.models.settings import BaseUrl

_REASONING = re.compile(r"(o\d|gpt-[5-9](?!.*chat))")
_NO_SAMPLING = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias", "stop", "seed"}
)


class OpenAISettings(ChatSettings):
    """OpenAI's own values. Its newer models refuse `max_tokens`.

    Attributes:
        organization, project: to which of the key's organizations and projects a request is charged.
        reasoning: the model thinks first, so it refuses `temperature` and its like, and they are left out. None tells by the model's
            name: o1, o3, gpt-5 and their kind.
        reasoning_effort: how much it thinks, such as `low`; the thinking counts into `max_tokens`.
    """

    base_url: BaseUrl = "https://api.openai.com/v1"
    api_key_env: str | None = "OPENAI_API_KEY"
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"
    organization: str | None = Field(default=None, pattern=r"^[\x21-\x7e]+$")
    project: str | None = Field(default=None, pattern=r"^[\x21-\x7e]+$")
    reasoning: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None

    @override
    def headers(self) -> Mapping[str, str]:
        named = {"OpenAI-Organization": self.organization, "OpenAI-Project": self.project}
        return {name: value for name, value in named.items() if value is not None}

    @override
    def parameters(self) -> Mapping[str, object]:
        return {"reasoning_effort": self.reasoning_effort}

    @override
    def unsupported(self) -> frozenset[str]:
        thinks = bool(_REASONING.match(self.model)) if self.reasoning is None else self.reasoning
        return _NO_SAMPLING if thinks else frozenset()


provider = ChatApi(Settings=OpenAISettings, needs_key=True)
