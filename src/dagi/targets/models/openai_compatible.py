"""Provider `openai_compatible`: any server with `/chat/completions`, such as llama.cpp, vLLM, LM Studio or another gateway."""

from dagi.targets.models.chat_api import ChatApi, ChatSettings

provider = ChatApi(Settings=ChatSettings, needs_key=False)
