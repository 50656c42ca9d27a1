"""Provider `echo`: says the prompt back, so many times as it is configured to."""

from collections.abc import AsyncGenerator

from pydantic import BaseModel, ConfigDict, Field

from dagi.message import Grant, Message, Usage
from dagi.ports.provider import Finding, ProviderTools
from dagi.ports.target import Delta, End, Event, Used


class Settings(BaseModel):
    """What can be configured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: int = Field(default=1, ge=1, le=10)


class EchoTarget:
    """What the router asks."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """Answer piece by piece; raise one of `dagi.errors` where there is no answer."""
        del grant
        words = message.prompt.split() * self._settings.times
        for place, word in enumerate(words):
            yield Delta(word if place == 0 else f" {word}")
        yield Used(Usage(prompt_tokens=message.tokens(), completion_tokens=len(words), total_tokens=message.tokens() + len(words)))
        yield End(provider=self._name, model="echo")


class Echo:
    """The provider: what the entry point names."""

    Settings = Settings
    needs_key = False

    def build(self, name: str, settings: Settings, tools: ProviderTools) -> EchoTarget:
        """The target that answers under this name; `tools` has the HTTP client, the clock and the key."""
        del tools
        return EchoTarget(name, settings)

    async def check(self, name: str, settings: Settings, tools: ProviderTools) -> tuple[Finding, ...]:
        """What `dagi doctor` tells of it."""
        del settings, tools
        return (Finding(severity="ok", what=f"{name} echoes."),)


provider = Echo()
