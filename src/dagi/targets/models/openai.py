"""Provider `openai`."""

from typing import Literal

from dagi.targets.models.chat_api import ChatApi, ChatSettings
from dagi.targets.models.settings import BaseUrl


class OpenAISettings(ChatSettings):
    """OpenAI's own values. Its newer models refuse `max_tokens`."""

    base_url: BaseUrl = "https://api.openai.com/v1"
    api_key_env: str | None = "OPENAI_API_KEY"
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"


provider = ChatApi(Settings=OpenAISettings, needs_key=True)
