"""Other gateways, each out of an environment of its own (scripts/peers.sh): one worker, their plain documented set-up, no database, no
cache, no retries, no log of requests.
"""

import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import yaml

from figures import Skipped
from processes import Program, free_port

PEERS = Path(__file__).resolve().parent.parent / ".peers"
_LITELLM = PEERS / "litellm" / "bin" / "litellm"
_PORTKEY = PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
# LiteLLM imports half a gigabyte before it listens.
PATIENCE_S = 120.0


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that runs: where it takes chat completions, and what its callers send."""

    what: str
    url: str
    key: str
    headers: Mapping[str, str]
    program: Program


@contextmanager
def litellm(work: Path, core: int, upstream: str) -> Generator[Peer]:
    """The LiteLLM proxy with a master key.

    Raises:
        Skipped: it is not installed.
    """
    if not _LITELLM.exists():
        raise Skipped("LiteLLM is not installed: scripts/peers.sh litellm")
    work.mkdir()
    port, key = free_port(), f"sk-{secrets.token_hex(24)}"
    model = {"model": "openai/scripted", "api_base": f"{upstream}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "dagi-stack", "litellm_params": model}],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": key},
    }
    config = work / "litellm.yaml"
    config.write_text(yaml.safe_dump(settings))
    # Its map of prices would be fetched from the internet at every start.
    quiet = ("env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR", "DISABLE_ADMIN_UI=True")
    command = (*quiet, str(_LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    with Program(command, work / "litellm.log", core=core) as program:
        program.wait_for(port, PATIENCE_S)
        version = _version(PEERS / "litellm", "litellm")
        yield Peer(what=f"LiteLLM {version}", url=f"http://127.0.0.1:{port}/v1/chat/completions", key=key, headers={}, program=program)


@contextmanager
def portkey(work: Path, core: int, upstream: str) -> Generator[Peer]:
    """The Portkey gateway; its callers name the upstream in headers.

    Raises:
        Skipped: it is not installed.
    """
    description = _PORTKEY / "package.json"
    if not description.exists():
        raise Skipped("Portkey is not installed: scripts/peers.sh portkey")
    work.mkdir()
    port = free_port()
    command = ("env", "NODE_ENV=production", "node", str(_PORTKEY / "build" / "start-server.js"), f"--port={port}", "--headless")
    with Program(command, work / "portkey.log", core=core) as program:
        program.wait_for(port, PATIENCE_S)
        version = msgspec.json.decode(description.read_bytes())["version"]
        yield Peer(
            what=f"Portkey {version}",
            url=f"http://127.0.0.1:{port}/v1/chat/completions",
            key="none",
            headers={"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"},
            program=program,
        )


def _version(environment: Path, name: str) -> str:
    found = next(iter(environment.glob(f"lib/python*/site-packages/{name}-*.dist-info")), None)
    return "" if found is None else found.name.removesuffix(".dist-info").rpartition("-")[2]
