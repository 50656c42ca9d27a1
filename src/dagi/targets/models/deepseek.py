"""Provider `deepseek`."""

from pydantic import Field

from dagi.targets.models.chat_api import ChatApi, ChatSettings
from dagi.targets.models.settings import BaseUrl


class DeepSeekSettings(ChatSettings):
    """DeepSeek's own values."""

    base_url: BaseUrl = "https://api.deepseek.com/v1"
    model: str = Field(default="deepseek-chat", min_length=1)
    api_key_env: str | None = "DEEPSEEK_API_KEY"


provider = ChatApi(Settings=DeepSeekSettings, needs_key=True)
