"""nginx as the scripted model server that answers at once, and as the plain reverse proxy beside us."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from processes import Program, free_port

# What an OpenAI-compatible server answers. No single quote and no dollar sign: nginx's configuration quotes it.
COMPLETION = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "scripted",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "GreenFood DAO is a community of growers and cooks. It runs three projects: a seed library, a shared "
                    "kitchen and a market of short ways. Members vote every second week; a proposal needs a quorum of one fifth.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 57, "completion_tokens": 48, "total_tokens": 105},
    }
)

_COMMON = """
daemon off;
worker_processes 1;
pid {work}/{name}.pid;
error_log {work}/{name}.err;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {work}/{name}.body;
  proxy_temp_path {work}/{name}.proxy;
  fastcgi_temp_path {work}/{name}.fastcgi;
  uwsgi_temp_path {work}/{name}.uwsgi;
  scgi_temp_path {work}/{name}.scgi;
{inside}
}}
"""

_SCRIPTED = """
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ return 200 '{completion}'; }}
  }}
"""

_PROXY = """
  upstream scripted {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://scripted; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering {buffering}; }}
  }}
"""


class Nginx:
    """A running nginx."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def scripted_upstream(work: Path, core: int | None) -> Generator[Nginx]:
    """Answers every request with the same completion."""
    port = free_port()
    with _running(work, "upstream", _SCRIPTED.format(port=port, completion=COMPLETION), port, core) as nginx:
        yield nginx


@contextmanager
def reverse_proxy(work: Path, core: int | None, upstream: int, *, streams: bool = False) -> Generator[Nginx]:
    """Passes every request on to the upstream's port over kept connections, and writes no log.

    Args:
        streams: pass on every piece of an answer as it comes.
    """
    port = free_port()
    inside = _PROXY.format(port=port, upstream=upstream, buffering="off" if streams else "on")
    with _running(work, "proxy", inside, port, core) as nginx:
        yield nginx


@contextmanager
def _running(work: Path, name: str, inside: str, port: int, core: int | None) -> Generator[Nginx]:
    configuration = work / f"{name}.conf"
    configuration.write_text(_COMMON.format(work=work, name=name, inside=inside))
    command = ("nginx", "-e", str(work / f"{name}.err"), "-p", str(work), "-c", str(configuration))
    with Program(command, work / f"{name}.out", core=core) as program:
        program.wait_for(port)
        yield Nginx(program, port)
