"""The sandbox with hostile programs in it: what they try has no effect."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dagi.observe.clock import SystemClock
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.sandbox.job import Bounds, Ears, Finished, Job, Place
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
SMALL = Bounds(wall_s=20, cpu_s=10, memory=256 << 20, processes=24, output=64 << 10, disk=8 << 20, files=500, file=4 << 20)


@pytest.fixture
def sandbox() -> Bubblewrap:
    return Bubblewrap(Setting(python=Path(sys.prefix)), SystemClock())


@asynccontextmanager
async def python(
    sandbox: Bubblewrap, code: str, bounds: Bounds = SMALL, *arguments: str, ears: Ears | None = None
) -> AsyncGenerator[Finished]:
    job = Job(command=("python", "-c", code, *arguments), bounds=bounds)
    async with sandbox.run(job, ears or Ears()) as finished:
        yield finished


async def said(sandbox: Bubblewrap, code: str, *arguments: str) -> str:
    """What the program prints; it must end well."""
    async with python(sandbox, code, SMALL, *arguments) as finished:
        assert (finished.ending, finished.status) == ("exit", 0), finished.stderr.decode()
        return finished.stdout.decode().strip()


def living(mark: str) -> list[str]:
    """The processes of this machine whose command line holds the mark."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in line and entry.name != str(os.getpid()):
                found.append(line.decode(errors="replace"))
    return found


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def groups() -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"*/**/dagi-{os.getpid()}-*"))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "/proc/1/root/etc/shadow",
        "/root",
        "/var",
        "/run",
        "/sys/kernel",
        "/proc/kcore",
        "/dev/vda",
        "/var/run/docker.sock",
        "{canary}",
    ],
)
async def test_nothing_of_the_host_can_be_read(sandbox: Bubblewrap, tmp_path: Path, path: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("the secret of the host")
    code = """
import os, sys
path = sys.argv[1]
try:
    print(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(100))
except OSError as error:
    print("refused", type(error).__name__)
"""
    found = await said(sandbox, code, path.format(canary=canary))
    # Above the interpreter there are empty directories, which lead to nothing else.
    assert found.startswith("refused") or found in {"[]", "['.pyenv']"}, found


async def test_no_variable_and_no_command_line_of_the_host_is_seen(sandbox: Bubblewrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGI_SECRET_CANARY", "canary-value")
    code = """
import glob
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try:
        print(open(path, "rb").read())
    except OSError:
        pass
"""
    found = await said(sandbox, code)
    assert "canary-value" not in found
    assert "--ro-bind" not in found


async def test_nobody_can_be_reached(sandbox: Bubblewrap) -> None:
    name = f"\0dagi-canary-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen()
        server.settimeout(0)
        abstract.settimeout(0)
        code = """
import socket, sys
tries = {
    "tcp": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2),
    "far": lambda: socket.create_connection(("192.0.2.1", 80), 2),
    "name": lambda: socket.getaddrinfo("example.org", 80),
    "abstract": lambda: socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[2]),
    "vsock": lambda: socket.socket(40),
    "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "packet": lambda: socket.socket(17, socket.SOCK_RAW),
}
for name, what in tries.items():
    try:
        what()
    except OSError:
        continue
    print("reached", name)
"""
        assert await said(sandbox, code, str(server.getsockname()[1]), name[1:]) == ""
        for one in (server, abstract):
            with pytest.raises(BlockingIOError):
                one.accept()


async def test_calls_that_reach_beyond_a_process_are_refused(sandbox: Bubblewrap) -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
numbers = {
    "x86_64": (101, 310, 272, 165, 250, 321, 425, 298, 304, 155, 161, 308),
    "aarch64": (117, 270, 97, 40, 219, 280, 425, 241, 265, 41, 51, 268),
}
for number in numbers[os.uname().machine]:
    if libc.syscall(number, 16, 1, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 1:
        print("allowed", number, ctypes.get_errno())
for path in ("/proc/1/mem", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches"):
    try:
        open(path, "r+b").close()
    except OSError:
        continue
    if not path.endswith("mem"):
        print("opened", path)
for line in open("/proc/1/status"):
    name, _, value = line.partition(":")
    if (name.startswith("Cap") and int(value, 16)) or (name, value.strip()) in {("NoNewPrivs", "0"), ("Seccomp", "0")}:
        print("process 1 may more:", line)
"""
    assert await said(sandbox, code) == ""


async def test_no_descriptor_of_the_stack_comes_along(sandbox: Bubblewrap) -> None:
    await sandbox.check()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        code = """
import glob, os
for path in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        found = os.readlink(path)
    except OSError:
        continue
    if "pipe" not in found and "null" not in found and "eventfd" not in found and not found.startswith("/proc"):
        print(found)
"""
        assert await said(sandbox, code) == ""


async def test_only_the_workspace_and_scratch_directories_can_be_written(sandbox: Bubblewrap) -> None:
    code = """
import os
for directory, below, _ in os.walk("/"):
    if directory.startswith(("/proc", "/usr/")):
        below.clear()
        continue
    try:
        with open(directory + "/probe", "w"):
            print(directory)
    except OSError:
        pass
"""
    found = (await said(sandbox, code)).split("\n")
    assert all(path.startswith(("/workspace", "/tmp", "/dev/shm")) for path in found), found  # noqa: S108
    assert "/workspace" in found


async def test_a_fork_bomb_stays_within_its_processes_and_nothing_of_it_is_left(sandbox: Bubblewrap) -> None:
    mark = f"bomb-{os.getpid()}"
    code = "import os, sys, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)"
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(len(living(mark)))
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    bounds = Bounds(wall_s=0.6, processes=16, memory=256 << 20)
    async with python(sandbox, code, bounds, mark) as finished:
        assert finished.ending == "time"
        assert living(mark) == []
    looking.cancel()
    assert 1 < max(seen) <= 16 + 4


async def test_a_daemon_that_left_its_session_ends_with_the_run(sandbox: Bubblewrap) -> None:
    mark = f"daemon-{os.getpid()}"
    code = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(300)
        os._exit(0)
"""
    async with python(sandbox, code, SMALL, mark) as finished:
        assert (finished.ending, finished.status) == ("exit", 0)
        assert living(mark) == []


async def test_whoever_kills_everything_kills_only_itself(sandbox: Bubblewrap) -> None:
    async with python(sandbox, "import os\nos.kill(1, 9)\nos.kill(-1, 9)\nprint('still here')") as finished:
        assert finished.ending in {"exit", "gone"}
    async with python(sandbox, "print('and the next one runs')") as finished:
        assert finished.stdout == b"and the next one runs\n"


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("while True: print('x' * 1000)", "output"),
        ("import os\nwhile True: os.write(3, b'x' * 1000)", "output"),
        ("i = 0\nwhile True:\n    open(f'f{i}', 'w').close()\n    i += 1", "disk"),
        ("import os\ni = 0\nwhile True:\n    os.symlink('x', f'/tmp/f{i}')\n    i += 1", "disk"),
        ("for i in range(100): open(f'/dev/shm/{i}', 'wb').write(bytes(1 << 20))", "disk"),
        ("import time\ntime.sleep(300)", "time"),
        ("while True: pass", "time"),
        (
            "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n        held = b'1' * (60 << 20)\n        break\ntime.sleep(60)",
            "memory",
        ),
    ],
)
async def test_what_goes_over_a_bound_is_stopped_there(sandbox: Bubblewrap, code: str, ending: str) -> None:
    bounds = Bounds(wall_s=1.5 if ending == "time" else 30, memory=256 << 20, processes=24, output=16 << 10, disk=8 << 20, files=500)
    async with python(sandbox, code, bounds) as finished:
        assert finished.ending == ending
        assert len(finished.stdout) <= bounds.output
        assert living(code) == []
        state = os.fstatvfs(finished.root)
        assert state.f_files - state.f_ffree < 100_000
        assert (state.f_blocks - state.f_bfree) * state.f_frsize <= bounds.disk + (1 << 20)


async def test_one_process_that_takes_too_much_memory_is_told_no(sandbox: Bubblewrap) -> None:
    async with python(sandbox, "try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    print('no')") as finished:
        assert finished.stdout == b"no\n"


async def test_a_file_cannot_grow_beyond_its_bound(sandbox: Bubblewrap) -> None:
    bounds = Bounds(disk=16 << 20, file=1 << 20, memory=256 << 20)
    async with python(sandbox, "open('f', 'wb').write(bytes(8 << 20))", bounds) as finished:
        assert finished.status not in {None, 0}
        assert os.stat("f", dir_fd=finished.root).st_size <= bounds.file


async def test_what_a_run_leaves_in_its_workspace_is_there_when_all_its_processes_are_gone(sandbox: Bubblewrap) -> None:
    job = Job(
        command=("sh", "-c", "cat sub/in > out; echo told >&3; echo said"),
        places=[Place(path="/workspace/sub", files={"in": b"brought along"})],
        bounds=SMALL,
    )
    heard: list[bytes] = []
    async with sandbox.run(job, Ears(report=heard.append)) as finished:
        assert (finished.stdout, finished.status, heard) == (b"said\n", 0, [b"told"])
        out = os.open("out", os.O_RDONLY, dir_fd=finished.root)
        assert os.read(out, 100) == b"brought along"
        os.close(out)


async def test_files_that_do_not_fit_end_the_run_before_it_begins(sandbox: Bubblewrap) -> None:
    job = Job(command=("sh", "-c", "echo began"), places=[Place(files={"big": bytes(10 << 20)})], bounds=Bounds(disk=2 << 20))
    async with sandbox.run(job) as finished:
        assert finished.ending == "disk"
        assert finished.stdout == b""


async def test_a_run_that_nobody_waits_for_any_more_ends_at_once(sandbox: Bubblewrap) -> None:
    mark = f"left-{os.getpid()}"

    async def work() -> None:
        async with python(sandbox, "import time\ntime.sleep(300)", SMALL, mark):
            pass

    running = asyncio.create_task(work())
    await eventually(lambda: bool(living(mark)))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert living(mark) == []


async def test_runs_leave_no_descriptors_and_no_groups_behind(sandbox: Bubblewrap) -> None:
    await sandbox.check()
    before = descriptors()
    for _ in range(3):
        async with python(sandbox, "print(1)"):
            pass
    assert descriptors() == before
    assert groups() == []


async def test_a_process_that_adopts_orphans_is_left_with_none(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        "import asyncio\nfrom pathlib import Path\nfrom dagi.assemble.processes import adopt\nfrom dagi.observe.clock import SystemClock\n"
        "from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting\n"
        "from dagi.targets.devtools.sandbox.job import Bounds, Job\n"
        "async def main():\n    sandbox = Bubblewrap(Setting(), SystemClock())\n"
        "    for command in ('true', 'sleep 9', 'exit 3'):\n"
        "        async with sandbox.run(Job(command=('sh', '-c', command), bounds=Bounds(wall_s=0.2))):\n            pass\n"
        "    print(Path('/proc/self/task/%d/children' % __import__('os').getpid()).read_text())\n"
        "adopt()\nasyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    said, _ = await service.communicate()
    assert (service.returncode, said.strip()) == (0, b"")


async def test_a_run_ends_when_the_stack_is_killed(tmp_path: Path) -> None:
    # A number of seconds that nobody else sleeps.
    mark = f"300{os.getpid()}"
    script = tmp_path / "stack.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\nfrom dagi.observe.clock import SystemClock\n"
        "from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting\nfrom dagi.targets.devtools.sandbox.job import Job\n"
        "async def main():\n    sandbox = Bubblewrap(Setting(), SystemClock())\n"
        f"    async with sandbox.run(Job(command=('sh', '-c', 'setsid sleep {mark} & sleep {mark}'))):\n        pass\n"
        "asyncio.run(main())\n"
    )
    stack = await asyncio.create_subprocess_exec(sys.executable, str(script))
    await eventually(lambda: any(line.startswith("sleep") for line in living(mark)))
    stack.kill()
    await stack.wait()
    await eventually(lambda: living(mark) == [])
