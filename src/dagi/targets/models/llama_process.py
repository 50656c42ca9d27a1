"""The child process that holds a model: llama.cpp's own HTTP server on a loopback port, for as long as the parent's pipe is open.

Run as `python -m dagi.targets.models.llama_process`. The first line on stdin is the orders as JSON; the first on stdout, once questions
are taken, the server's address. What goes wrong before that stands on stderr. Afterwards nothing is written anywhere: by then a
line could hold what members say.
"""

import os
import resource
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import msgspec

HOST = "127.0.0.1"
_ERRORS_AND_WARNINGS = 2
_MIB = 2**20


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to do.

    Attributes:
        api_key: what a request has to prove itself with; any program of this machine can reach the port.
        memory_mb: the most it may allocate beside the mapped file; None for no limit.
    """

    model_path: str
    alias: str
    api_key: str
    context_tokens: int
    slots: int
    threads: int
    batch_threads: int
    gpu_layers: int
    memory_mb: int | None = None


def main() -> int:
    """Be the child; returns when the model cannot be loaded, else never."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _restrain(orders)
    tell = os.dup(1)
    # The library may write to stdout as it likes.
    os.dup2(2, 1)
    try:
        address = _served(orders)
    except (RuntimeError, MemoryError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.write(tell, f"{address}\n".encode())
    os.close(tell)
    threading.Event().wait()
    return 0


def _end_with_parent() -> None:
    """End at once when the parent has closed the pipe, or has died in any way."""
    sys.stdin.buffer.read()
    os._exit(0)


def _restrain(orders: Orders) -> None:
    """When memory runs out it is this process that goes first, never the gateway."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    if orders.memory_mb is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (orders.memory_mb * _MIB, orders.memory_mb * _MIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where it fails it would start a debugger to tell where.
    os.putenv("GGML_NO_BACKTRACE", "1")


_server: object = None


def _served(orders: Orders) -> str:
    """Load the model and listen; the address.

    Raises:
        RuntimeError: it cannot be loaded; the reasons stand on stderr.
    """
    # An extra, a hundred megabytes, and of use in this process only.
    xllamacpp = import_module("xllamacpp")
    global _server  # noqa: PLW0603 - it listens while somebody holds it
    wanted = xllamacpp.CommonParams()
    wanted.model.path = orders.model_path
    wanted.model_alias = {orders.alias}
    wanted.hostnames = [HOST]
    wanted.port = 0
    wanted.api_keys = [orders.api_key]
    # Nothing but the conversation's endpoints, and nothing is ever fetched.
    wanted.offline = True
    wanted.ui = wanted.endpoint_slots = wanted.endpoint_props = wanted.endpoint_metrics = False
    wanted.verbosity = _ERRORS_AND_WARNINGS
    wanted.n_parallel = orders.slots
    wanted.n_ctx = orders.context_tokens * orders.slots
    # What was asked for is what is used, and eight gigabytes of kept prompts are not asked for.
    wanted.fit_params = False
    wanted.cache_ram_mib = 0
    wanted.cpuparams.n_threads = orders.threads
    wanted.cpuparams_batch.n_threads = orders.batch_threads
    wanted.n_threads_http = orders.slots + 7
    wanted.n_gpu_layers = orders.gpu_layers
    _server = server = xllamacpp.Server(wanted)
    return str(server.listening_address)


if __name__ == "__main__":
    sys.exit(main())
