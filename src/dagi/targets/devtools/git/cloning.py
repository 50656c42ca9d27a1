"""Workspaces from elsewhere: git fetches them over the network, from where an operator allows it."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from dagi.errors import Conflict, Denied, Invalid, PayloadTooLarge
from dagi.targets.devtools.git.names import check_branch
from dagi.targets.devtools.git.running import GIT, TREE, Git, Ran, bounds_of
from dagi.targets.devtools.workspaces.workspace import Quota

_REFUSED: Final = 12
_WALL_S: Final = 300.0
# How many are fetched at once; they do not wait in the line of those who run something.
_AT_ONCE: Final = 2
# What an address may be made of. Nothing that two readers could read in two ways.
_ADDRESS: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~+@-]+)*/?\Z")
# Files come from the commit, not from the clone: git makes a file `.git` there, which says where its directory is.
_CLONE: Final = f"""
rm -rf "$GIT_DIR"
url=$1; branch=$2
unset GIT_DIR GIT_WORK_TREE
cd {TREE}/..
set -- --quiet --no-recurse-submodules --no-local --template= ${{branch:+--branch "$branch"}} "--separate-git-dir={GIT}"
git clone "$@" -- "$url" {TREE}/clone >&2 || exit {_REFUSED}
if [ "$(git --git-dir={GIT} rev-parse --show-object-format)" != sha1 ]; then
  echo "its history is named by SHA-256, which no tool here can read" >&2; exit {_REFUSED}
fi
rm {TREE}/clone/.git
mv {TREE}/clone /workspace/files
rmdir {TREE}
mv /workspace/files {TREE}
git --git-dir={GIT} config --remove-section remote.origin || true
"""


def check_address(address: str, allowed: Sequence[str], field: str = "git") -> str:
    """An address to fetch from.

    Args:
        allowed: what addresses may begin with: whole hosts (`https://github.com/`) or parts of them.

    Raises:
        Invalid: it is none, or holds what an address here cannot hold (a password, for example).
        Denied: it is not allowed here.
    """
    text = address.strip()
    if not _ADDRESS.match(text) or any(part in {".", ".."} for part in text.split("/")):
        raise Invalid("The address of a repository is https://host/path, without a user, a password, a query or %.", field=field)
    for prefix in allowed:
        if text == prefix.rstrip("/") or text.startswith(prefix if prefix.endswith("/") else f"{prefix}/"):
            return text
    raise Denied(
        "Repositories may not be fetched from there. An operator allows it with devtools.git.allowed in the configuration.",
        reason="address_not_allowed",
        required_entitlement=None,
        user_role=None,
        host=urlsplit(text).hostname,
    )


class Cloning:
    """Fetches repositories.

    Args:
        allowed: see `check_address`.
    """

    def __init__(self, git: Git, allowed: Sequence[str]) -> None:
        self._git = git
        self._allowed = tuple(allowed)
        self._places = asyncio.Semaphore(_AT_ONCE)

    def check(self, address: str) -> str:
        """See `check_address`."""
        return check_address(address, self._allowed)

    @asynccontextmanager
    async def clone(self, address: str, quota: Quota, branch: str | None = None) -> AsyncGenerator[Ran]:
        """Fetch a repository with all its history.

        Yields:
            What `Workspace.replace` takes: its root holds `tree` and `git`.

        Raises:
            Invalid, Denied: see `check_address`.
            Conflict: it cannot be fetched: not there, not public, no such branch.
            PayloadTooLarge: it is more than the quota.
        """
        url = self.check(address)
        wanted = "" if branch is None else check_branch(branch, "branch")
        scheme = urlsplit(url).scheme
        settings = {
            f"protocol.{scheme}.allow": "always",
            "http.followRedirects": "false",
            "http.proxy": "",
            "credential.helper": "",
            "fetch.fsckObjects": "true",
        }
        bounds = bounds_of(quota, _WALL_S)
        async with self._places, self._git.script([], _CLONE, (url, wanted), bounds=bounds, settings=settings, network=True) as ran:
            if ran.ending == "disk":
                raise PayloadTooLarge("The repository is larger than a workspace may be.", limit_bytes=quota.bytes)
            if ran.status != 0:
                raise Conflict(f"The repository cannot be fetched: {ran.complaint or 'git gave no reason'}", reason="clone_failed")
            yield ran
