"""What a container of the stack may call, so that the sandbox can be made in it.

Docker's default profile refuses the calls that make user namespaces, without which bubblewrap cannot work. This one refuses what the
sandbox itself refuses to code of others, but for those calls. It is written by

    python -m dagi.targets.devtools.sandbox.docker > deploy/docker/seccomp.json
"""

import json
import sys
from typing import Final

from dagi.targets.devtools.sandbox.seccomp import DENIED

# What bubblewrap needs to set up a sandbox, in namespaces of its own.
NEEDED: Final = frozenset({"mount", "umount2", "pivot_root", "unshare", "setns", "sethostname", "chroot"})


def profile() -> str:
    """The profile in Docker's form."""
    denied = {"names": sorted(set(DENIED) - NEEDED), "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(profile())
