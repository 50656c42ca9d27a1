"""Provider `llama`: a GGUF file that the operator has, in a process of its own. Needs the extra `llama`."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

import msgspec
import psutil
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from dagi.message import Grant, Message
from dagi.ports.provider import Finding, ProviderTools
from dagi.ports.target import Ear, Event
from dagi.targets.models.chat_api import ChatSettings, ChatTarget
from dagi.targets.models.llama_child import Address, LlamaChild, Plan
from dagi.targets.models.llama_process import Orders

PACKAGE = "xllamacpp"
INSTALL = "pip install 'dagi-stack[llama]'"
_MAGIC = b"GGUF"


class LlamaSettings(BaseModel):
    """What can be configured.

    Attributes:
        model_path: the GGUF file.
        model: what the model is called in replies; the file's name where left out.
        context_tokens: how much the model reads at once, of each slot; `num_ctx` is the same.
        slots: how many questions it answers at the same time.
        threads: for writing an answer; half of this machine's cores where left out. Reading a question uses all of these.
        gpu_layers: how many layers a GPU holds, where the installed package can use one.
        memory_mb: the most it may allocate beside the file, which is mapped.
        start_timeout_s: how long loading may take.
        think: let a reasoning model think first. Off by default: `max_tokens` counts the thinking too. None leaves it to the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    model_path: str = Field(min_length=1)
    model: str | None = Field(default=None, min_length=1)
    context_tokens: int = Field(default=4096, ge=256, validation_alias=AliasChoices("context_tokens", "num_ctx"))
    slots: int = Field(default=1, ge=1, le=16)
    threads: int | None = Field(default=None, ge=1, le=256)
    gpu_layers: int = Field(default=0, ge=0)
    memory_mb: int | None = Field(default=None, ge=128)
    start_timeout_s: float = Field(default=120.0, gt=0, le=3600)
    max_tokens: int | None = Field(default=400, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    think: bool | None = False

    @property
    def file(self) -> Path:
        """The GGUF file."""
        return Path(self.model_path).expanduser()

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.model or self.file.stem

    def orders(self) -> Orders:
        """What the child process is told, but for its key."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = self.threads or max(1, cores // 2)
        return Orders(
            model_path=str(self.file),
            alias=self.name,
            api_key="",
            context_tokens=self.context_tokens,
            slots=self.slots,
            threads=threads,
            batch_threads=self.threads or cores,
            gpu_layers=self.gpu_layers,
            memory_mb=self.memory_mb,
        )


class _ChildSettings(ChatSettings):
    """How a living child is asked."""

    think: bool | None = None

    def parameters(self) -> dict[str, object]:
        return {} if self.think is None else {"chat_template_kwargs": {"enable_thinking": self.think}}


class Llama:
    """The provider; satisfies `dagi.ports.provider.Provider`."""

    Settings = LlamaSettings
    needs_key = False

    def missing(self, settings: LlamaSettings) -> str:
        """See `dagi.ports.provider.Lacking`."""
        del settings
        return "" if find_spec(PACKAGE) else f"the package {PACKAGE} is not installed: {INSTALL}"

    def build(self, name: str, settings: LlamaSettings, tools: ProviderTools) -> "LlamaTarget":
        """The target that answers under this name. The model is loaded with the first question."""
        plan = Plan(orders=settings.orders(), check=lambda: problem(settings.file), start_s=settings.start_timeout_s)
        return LlamaTarget(name, settings, tools, LlamaChild(name, plan, tools.clock, tools.note))

    async def check(self, name: str, settings: LlamaSettings, tools: ProviderTools) -> tuple[Finding, ...]:
        """Whether the package and the file are there. The model is not loaded for it."""
        del tools
        if lacking := self.missing(settings):
            return (Finding(severity="error", what=f"{name} cannot start: {lacking.partition(':')[0]}.", fix=INSTALL),)
        if wrong := problem(settings.file):
            return (Finding(severity="error", what=f"{name} cannot start: {wrong}.", fix="Set model_path to a model in GGUF format."),)
        size, free = settings.file.stat().st_size, psutil.virtual_memory().available
        found = [Finding(severity="ok", what=f"{name} has the model {settings.name} ({size / 2**30:.1f} GiB).")]
        if size > free:
            what = f"{name} may not fit: its file has {size / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB of memory are free."
            found.append(Finding(severity="warning", what=what, fix="Take a smaller model, or stop something."))
        return tuple(found)


class LlamaTarget:
    """One model in a process of its own; it has a `dagi.ports.provider.Closing` side."""

    def __init__(self, name: str, settings: LlamaSettings, tools: ProviderTools, child: LlamaChild) -> None:
        self._name = name
        self._settings = settings
        self._tools = tools
        self._child = child
        self._asked: tuple[Address, ChatTarget] | None = None

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`."""
        target = await self._living()
        async with aclosing(target.open(message, grant)) as events:
            async for event in events:
                yield event

    async def tell(self, message: Message, grant: Grant, ear: Ear) -> None:
        """See `dagi.ports.target.Telling.tell`."""
        await (await self._living()).tell(message, grant, ear)

    async def aclose(self) -> None:
        """End the process."""
        await self._child.aclose()

    async def _living(self) -> ChatTarget:
        address = await self._child.where()
        if self._asked is None or self._asked[0] != address:
            settings = self._settings
            asked = _ChildSettings(
                base_url=address.base_url,
                model=settings.name,
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                stop=settings.stop,
                seed=settings.seed,
                think=settings.think,
                fresh_connections=True,
            )
            tools = msgspec.structs.replace(self._tools, api_key=address.api_key)
            self._asked = (address, ChatTarget(self._name, asked, tools))
        return self._asked[1]


def problem(file: Path) -> str:
    """What is wrong with a model's file; empty where nothing is."""
    try:
        if not file.is_dir() and file.exists() and not file.is_file():
            # A pipe would be waited on for ever.
            return f"model_path {file} is not a file"
        with file.open("rb") as opened:
            start = opened.read(len(_MAGIC))
    except IsADirectoryError:
        return f"model_path {file} is a directory, not a file"
    except FileNotFoundError:
        return f"model_path {file} does not exist"
    except OSError as error:
        return f"model_path {file} cannot be read: {error.strerror}"
    return "" if start == _MAGIC else f"model_path {file} is not in GGUF format"


provider = Llama()
