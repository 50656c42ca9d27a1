"""Provider `deepseek`.

What its models think comes as `reasoning_content` and never becomes part of the answer; what of the prompt it had cached as
`prompt_cache_hit_tokens`. An account without credit answers with HTTP 402.
"""

from collections.abc import Mapping

from pydantic import Field
from typing_extensions import override

from dagi.targets.models.chat_api import ChatApi, ChatSettings
from dagi.targets.models.settings import BaseUrl


class DeepSeekSettings(ChatSettings):
    """DeepSeek's own values.

    Attributes:
        think: let a model that can do both think first, or not; the thinking counts into `max_tokens`. None leaves it to the model.
    """

    base_url: BaseUrl = "https://api.deepseek.com/v1"
    model: str = Field(default="deepseek-chat", min_length=1)
    api_key_env: str | None = "DEEPSEEK_API_KEY"
    think: bool | None = None

    @override
    def parameters(self) -> Mapping[str, object]:
        return {} if self.think is None else {"thinking": {"type": "enabled" if self.think else "disabled"}}


provider = ChatApi(Settings=DeepSeekSettings, needs_key=True)
