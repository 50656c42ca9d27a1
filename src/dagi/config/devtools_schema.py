"""Settings of the developer tools: where their service is, what a workspace may hold, what a run may take."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from dagi.config.section import Section, Text

_SCHEMES = frozenset({"https", "http"})


def _service_url(text: str) -> str:
    if not text.startswith(("http://", "https://")) or not urlsplit(text).hostname:
        raise ValueError("must be an address such as http://devtools.internal:8008, or null for the service that runs here")
    return text.rstrip("/")


def _prefix(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be the beginning of a repository's address such as https://github.com/my-dao/")
    # Of "https://github.com" the name would go on: "https://github.com.evil.example/".
    if not parts.path.strip("/") and not text.endswith("/"):
        raise ValueError("must end the host's name with a slash, such as https://github.com/")
    return text


class WorkspaceSettings(Section):
    """What a workspace may hold, and how many a DAO may have.

    Attributes:
        max_mb, max_files: of its files; directories count as files.
        history_mb: of git's objects.
        templates: a directory whose directories may be copied into new workspaces, beside the packaged ones.
    """

    max_mb: int = Field(default=256, ge=1, le=1_048_576)
    max_files: int = Field(default=20_000, ge=1, le=10_000_000)
    history_mb: int = Field(default=512, ge=1, le=1_048_576)
    per_dao: int = Field(default=10, ge=1, le=10_000)
    templates: Text | None = None


class RunSettings(Section):
    """What one run in the sandbox may take.

    Attributes:
        wall_s, cpu_s: seconds on the clock, and of all its processes together on the processors.
        memory_mb: of its processes and its files together.
        output_kb: of each of its outputs.
        disk_mb, files: what may lie in its workspace and in its temporary directory, each.
    """

    wall_s: int = Field(default=300, ge=1, le=86_400)
    cpu_s: int = Field(default=300, ge=1, le=86_400)
    memory_mb: int = Field(default=1_024, ge=64, le=1_048_576)
    processes: int = Field(default=128, ge=8, le=100_000)
    output_kb: int = Field(default=1_024, ge=1, le=65_536)
    disk_mb: int = Field(default=512, ge=1, le=1_048_576)
    files: int = Field(default=50_000, ge=10, le=10_000_000)


class GitSettings(Section):
    """Where workspaces may be cloned from: beginnings of addresses; nowhere where there are none."""

    allowed: Annotated[tuple[Annotated[str, AfterValidator(_prefix)], ...], Field(strict=False)] = ()


class Devtools(Section):
    """The developer tools.

    Attributes:
        enabled: run their service with the others. A router with a `url` reaches them in any case.
        url: where the service runs, if not here.
        runtime: the environment that runs in the sandbox use; null finds the one that was installed with the stack.
        max_concurrent, max_queue, queue_timeout_ms: the line in front of the sandbox.
        max_body_mb: the largest request, that is the largest file in base64.
        sandbox_user: the user id that the sandbox runs as where the service is started as root.
    """

    enabled: bool = True
    url: Annotated[str, AfterValidator(_service_url)] | None = None
    runtime: Text | None = None
    max_concurrent: int = Field(default=2, ge=1, le=1_000)
    max_queue: int = Field(default=100, ge=0, le=100_000)
    queue_timeout_ms: int = Field(default=60_000, ge=1, le=3_600_000)
    max_body_mb: int = Field(default=12, ge=1, le=1_024)
    sandbox_user: int = Field(default=65_534, ge=1, le=4_294_967_294)
    workspaces: WorkspaceSettings = WorkspaceSettings()
    runs: RunSettings = RunSettings()
    git: GitSettings = GitSettings()
