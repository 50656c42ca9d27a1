"""What a run finds in its directories, as one stream for the `tar` inside. Blocking: to be called in a thread."""

import io
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import Final

from dagi.errors import Internal
from dagi.targets.devtools.sandbox.job import WORKSPACE, Place

_SCRATCH: Final = "/tmp"  # noqa: S108 - of the sandbox
_END: Final = bytes(1024)


def feed(stream: int, places: Sequence[Place]) -> None:
    """Write everything into the stream and close it. Whoever reads may be gone, which is nothing to complain of here.

    Raises:
        Internal: a place lies elsewhere than where a run may write, or its source cannot be read.
    """
    try:
        for place in places:
            _check(place.path)
            if place.source is not None:
                _copy_directory(stream, place)
            _write(stream, _archive(place.path, place.files))
        _write(stream, _END)
    except BrokenPipeError:
        return
    finally:
        os.close(stream)


def _check(path: str) -> None:
    parts = path.split("/")
    if not path.startswith((WORKSPACE, _SCRATCH)) or ".." in parts or parts[1] not in {WORKSPACE[1:], _SCRATCH[1:]}:
        raise Internal(f"A run cannot be given files at {path}.")


def _copy_directory(stream: int, place: Place) -> None:
    # Names of links' targets stay as they are (S, H); that of the directory itself becomes the place's.
    renamed = f"--transform=flags=r;s,^\\.,{place.path.lstrip('/')},SH"
    command = ["tar", "-C", str(place.source), renamed, "--format=posix", "--no-xattrs", "--no-acls", "-cf", "-", "."]
    done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, env=_clean(), check=False)  # noqa: S603 - ours, no shell
    if done.returncode > 1 and b"Broken pipe" not in done.stderr:
        raise Internal(f"The workspace cannot be read: tar ended with {done.returncode}.")


def _clean() -> Mapping[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _archive(path: str, files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in dict.fromkeys(_parents(path, files)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{path.lstrip('/')}/{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def _parents(path: str, files: Mapping[str, bytes]) -> list[str]:
    """The directories below the mounted ones, each after its own parent."""
    found: list[str] = []
    for name in ("", *files):
        parts = f"{path.strip('/')}/{name}".rstrip("/").split("/")
        parts = parts[:-1] if name else parts
        found += ["/".join(parts[: index + 1]) for index in range(1, len(parts))]
    return found


def _write(stream: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(stream, rest) :]
