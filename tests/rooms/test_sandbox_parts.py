"""The parts of the sandbox that run nothing: its filter, its command line, its pipes, its groups."""

import json
import os
import re
import struct
import tarfile
from errno import EPERM
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import Internal
from dagi.targets.devtools.sandbox.cgroups import grouped
from dagi.targets.devtools.sandbox.docker import profile
from dagi.targets.devtools.sandbox.feeding import feed
from dagi.targets.devtools.sandbox.job import Bounds, Job, Place
from dagi.targets.devtools.sandbox.launch import Base, launch
from dagi.targets.devtools.sandbox.pipes import LONGEST_LINE, Lines, Pipe
from dagi.targets.devtools.sandbox.seccomp import DENIED, UNCOUNTED, UnknownMachine, program
from dagi.targets.devtools.sandbox.trouble import advice, read_failure, unavailable

X86, ALLOW, KILL = 0xC000_003E, 0x7FFF_0000, 0x8000_0000
HEADERS = {
    0: (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), r"#define __NR_(\w+) (\d+)"),
    1: (Path("/usr/include/asm-generic/unistd.h"), r"#define __NR(?:3264)?_(\w+) (\d+)"),
}


def decided(filter_: bytes, number: int, arch: int = X86, arguments: tuple[int, ...] = (0,) * 6) -> int:
    """What the kernel would decide: the few instructions of classic BPF that the filter uses, as the kernel runs them."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments)
    at, held = 0, 0
    while True:
        code, yes, no, k = struct.unpack_from("=HBBI", filter_, at * 8)
        at += 1
        match code:
            case 0x20:
                (held,) = struct.unpack_from("=I", data, k)
            case 0x15:
                at += yes if held == k else no
            case 0x35:
                at += yes if held >= k else no
            case 0x45:
                at += yes if held & k else no
            case _:
                return k


def test_every_call_that_is_refused_is_refused_and_the_usual_ones_are_not() -> None:
    filter_ = program("x86_64")
    for name, (number, _) in DENIED.items():
        assert number is not None
        assert decided(filter_, number) == 0x0005_0000 | EPERM, name
    for usual in (0, 1, 2, 9, 57, 59, 60, 202, 231, 257, 262, 293):
        assert decided(filter_, usual) == ALLOW


def test_calls_of_another_architecture_end_the_process_and_those_of_x32_do_not_exist() -> None:
    filter_ = program("x86_64")
    assert decided(filter_, 101, arch=0x4000_0003) == KILL
    assert decided(filter_, 0x4000_0000 | 101) & 0xFFFF_0000 == 0x0005_0000


def test_a_process_may_be_cloned_but_not_into_a_new_namespace() -> None:
    filter_ = program("x86_64")
    assert decided(filter_, 56, arguments=(0x0120_0011, 0, 0, 0, 0, 0)) == ALLOW
    for flag in (0x0002_0000, 0x1000_0000, 0x4000_0000, 0x2000_0000, 0x80):
        assert decided(filter_, 56, arguments=(flag | 17, 0, 0, 0, 0, 0)) != ALLOW
    assert decided(filter_, 435) != ALLOW


@given(family=st.integers(0, 60))
def test_only_the_usual_kinds_of_sockets_can_be_made(family: int) -> None:
    assert (decided(program("x86_64"), 41, arguments=(family, 1, 0, 0, 0, 0)) == ALLOW) == (family in {1, 2, 10, 16})


def test_memory_that_nobody_could_count_is_refused_where_no_group_counts_it() -> None:
    private, shared, validated, of_a_file = 0x22, 0x21, 0x23, 0x01
    filter_ = program("x86_64", counted=False)
    for flags in (private, of_a_file):
        assert decided(filter_, 9, arguments=(0, 1, 3, flags, 0, 0)) == ALLOW
    for flags in (shared, validated, shared | 0x40000):
        assert decided(filter_, 9, arguments=(0, 1, 3, flags, 0, 0)) != ALLOW
        assert decided(program("x86_64"), 9, arguments=(0, 1, 3, flags, 0, 0)) == ALLOW
    for number, _ in UNCOUNTED.values():
        assert decided(filter_, number) != ALLOW
        assert decided(program("x86_64"), number) == ALLOW


def test_nothing_can_be_typed_into_a_terminal() -> None:
    filter_ = program("x86_64")
    assert decided(filter_, 16, arguments=(0, 0x5412, 0, 0, 0, 0)) != ALLOW
    assert decided(filter_, 16, arguments=(0, 0x5401, 0, 0, 0, 0)) == ALLOW


@pytest.mark.parametrize("column", [column for column, (path, _) in HEADERS.items() if path.exists()])
def test_the_numbers_are_those_of_the_kernels_headers(column: int) -> None:
    path, form = HEADERS[column]
    known = {name: int(number) for name, number in re.findall(form, path.read_text(encoding="ascii"))}
    ours = {name: numbers[column] for name, numbers in {**DENIED, **UNCOUNTED}.items() if numbers[column] is not None and name in known}
    assert ours == {name: known[name] for name in ours}
    assert len(ours) > 40


def test_a_machine_without_a_table_has_no_filter() -> None:
    with pytest.raises(UnknownMachine):
        program("riscv64")
    assert len(program("aarch64")) % 8 == 0


def test_the_profile_for_docker_refuses_what_the_sandbox_refuses_but_for_what_makes_a_sandbox() -> None:
    text = (Path(__file__).parents[2] / "deploy" / "docker" / "seccomp.json").read_text(encoding="ascii")
    assert text == profile()
    names = set(json.loads(text)["syscalls"][0]["names"])
    assert {"ptrace", "bpf", "keyctl"} <= names
    assert not names & {"mount", "unshare", "pivot_root"}


def base(user: int | None) -> Base:
    return Base(
        bubblewrap="/usr/bin/bwrap", disables_namespaces=True, python=Path("/root/py"), home=Path("/root/home"), inside=None, user=user
    )


def test_root_gives_up_its_rights_before_bubblewrap_starts() -> None:
    line = launch(base(65_534), Job(command=("true",))).line
    script = line[line.index("sh") + 2]
    assert line[:4] == ["unshare", "--mount", "--propagation", "private"]
    assert "setpriv --reuid 65534 --regid 65534 --clear-groups" in script
    assert script.index("mount --bind") < script.index("setpriv")


def test_what_bubblewrap_is_told_is_not_on_a_command_line_that_can_be_seen_inside() -> None:
    started = launch(base(None), Job(command=("true",), environment={"NAME": "value"}))
    assert not any("/root/py" in word for word in started.line)
    arguments = started.arguments.decode().split("\0")
    assert arguments[arguments.index("/root/py") - 1 : arguments.index("/root/py") + 2] == ["--ro-bind", "/root/py", "/opt/dagi/python"]
    assert "--share-net" not in arguments


def test_a_path_with_a_quote_stays_one_word_of_the_shell(tmp_path: Path) -> None:
    odd = tmp_path / "it's; rm -rf"
    started = launch(
        Base(bubblewrap="bwrap", disables_namespaces=False, python=odd, home=None, inside=None, user=1), Job(command=("true",))
    )
    script = started.line[started.line.index("sh") + 2]
    assert f"""mount --bind '{str(odd).replace("'", "'" + '"' + "'" + '"' + "'")}' /run/0""" in script


def fed(*places: Place) -> dict[str, bytes | None]:
    """What the stream holds: files with their content, directories with None."""
    read, write = os.pipe()
    os.set_blocking(write, True)
    # A pipe holds 64 KiB, which is more than these tests write.
    feed(write, places)
    with os.fdopen(read, "rb") as stream, tarfile.open(fileobj=BytesIO(stream.read()), ignore_zeros=True) as archive:
        return {entry.name.rstrip("/"): archive.extractfile(entry).read() if entry.isreg() else None for entry in archive}  # pyright: ignore[reportOptionalMemberAccess]


def test_a_run_is_given_a_directory_and_single_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.txt").write_text("1")
    (tmp_path / "-odd name").write_text("2")
    (tmp_path / "link").symlink_to("./sub")
    found = fed(Place(source=tmp_path), Place(path="/workspace/more/deep", files={"x/y": b"3"}))
    assert found["workspace/sub/one.txt"] == b"1"
    assert found["workspace/-odd name"] == b"2"
    assert "workspace/link" in found
    assert found["workspace/more/deep/x/y"] == b"3"


@pytest.mark.parametrize("path", ["/etc", "/workspace/../etc", "/workspaces", "/opt", "workspace"])
def test_nothing_is_put_where_a_run_may_not_write(path: str) -> None:
    read, write = os.pipe()
    with pytest.raises(Internal):
        feed(write, [Place(path=path, files={"a": b""})])
    os.close(read)


@given(text=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200)))
def test_lines_are_the_same_however_their_pieces_are_cut(text: bytes, cuts: list[int]) -> None:
    heard: list[bytes] = []
    lines = Lines(heard.append)
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for begin, end in pairwise(at):
        lines.feed(text[begin:end])
    assert heard == text.split(b"\n")[:-1]


def test_a_line_that_is_too_long_is_left_out_and_the_next_one_is_heard() -> None:
    heard: list[bytes] = []
    lines = Lines(heard.append)
    for piece in (b"a\n", b"x" * LONGEST_LINE, b"y" * 10, b"end\nb", b"\n", b"z" * (LONGEST_LINE + 1) + b"\nc\n"):
        lines.feed(piece)
    assert heard == [b"a", b"b", b"c"]


def test_output_is_kept_to_its_bound_and_a_flood_is_told_once() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    floods: list[str] = []
    pipe = Pipe(read, 10, 30, lambda _: None, lambda: floods.append("now"))
    for _ in range(5):
        os.write(write, b"12345678")
        assert pipe.read()
    assert (pipe.kept, pipe.cut, floods) == (b"1234567812", True, ["now"])
    os.close(write)
    assert not pipe.read()
    os.close(read)


def test_groups_of_the_first_version_hold_memory_and_processes(tmp_path: Path) -> None:
    for kind in ("memory", "pids"):
        (tmp_path / kind / "mine").mkdir(parents=True)
    group = grouped(Bounds(memory=5 << 20, processes=7), tmp_path, "5:memory:/mine\n6:pids:/mine\n0::/\n")
    assert group is not None
    memory, pids = (Path(path).parent for path in group.joins)
    assert (memory / "memory.limit_in_bytes").read_text() == str(5 << 20)
    assert int((pids / "pids.max").read_text()) >= 7
    assert not group.ran_out_of_memory()
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert group.ran_out_of_memory()


def test_groups_of_the_second_version_are_made_where_they_were_delegated(tmp_path: Path) -> None:
    own = tmp_path / "service" / "main"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("")
    (own.parent / "cgroup.subtree_control").write_text("cpu memory pids")
    group = grouped(Bounds(memory=5 << 20), tmp_path, "0::/service/main\n")
    assert group is not None
    made = Path(group.joins[0]).parent
    assert made.parent == own.parent
    assert (made / "memory.max").read_text() == str(5 << 20)
    assert (made / "memory.swap.max").read_text() == "0"


def test_no_groups_are_made_where_none_were_delegated(tmp_path: Path) -> None:
    own = tmp_path / "user" / "me"
    own.mkdir(parents=True)
    for directory in (own, own.parent):
        (directory / "cgroup.subtree_control").write_text("cpu")
    assert grouped(Bounds(), tmp_path, "0::/user/me\n") is None
    assert grouped(Bounds(), tmp_path, "") is None


@pytest.mark.parametrize(
    ("said", "as_root", "reason"),
    [
        (
            "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces.",
            False,
            "no_namespaces",
        ),
        ("bwrap: setting up uid map: Permission denied", False, "no_namespaces"),
        ("unshare: unshare failed: Operation not permitted", True, "no_mounts"),
        ("mount: /run: permission denied.", True, "no_mounts"),
        ("sh: 1: exec: nice: not found", False, "no_programs"),
        ("bwrap: Unknown option --disable-userns", False, "broken"),
    ],
)
def test_what_keeps_the_sandbox_from_starting_is_read_from_what_its_programs_say(said: str, as_root: bool, reason: str) -> None:
    assert read_failure(said, as_root=as_root) == reason
    error = unavailable(read_failure(said, as_root=as_root), said)
    assert said not in error.message
    assert advice(error)
