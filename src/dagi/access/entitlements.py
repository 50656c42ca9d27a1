"""The entitlements there are, the roles a DAO starts with, and what each developer tool needs."""

from collections.abc import Mapping
from typing import Final

GUEST: Final = frozenset({"chat.use", "facts.read", "proposal.read", "workflow.run:microdao_onboarding"})
MEMBER: Final = GUEST | {"member.read", "proposal.create", "proposal.vote"}
CONTRIBUTOR: Final = MEMBER | {"devtools.read", "devtools.write", "devtools.run", "git.commit", "workflow.run:*", "explain.read"}
ADMIN: Final = CONTRIBUTOR | {
    "member.manage",
    "facts.write",
    "config.update",
    "key.manage",
    "channel.manage",
    "dialog.read",
    "audit.read",
    "metrics.read",
    "console.use",
}

# What governs a DAO and those in it. An account that was linked a moment ago does not get it at once.
ADMINISTRATIVE: Final = ADMIN - CONTRIBUTOR

# From the strongest to the weakest: the order in which a person's roles are told.
DEFAULT_ROLES: Final[Mapping[str, frozenset[str]]] = {
    "admin": ADMIN,
    "contributor": CONTRIBUTOR,
    "member": MEMBER,
    "guest": GUEST,
}

TOOL_ENTITLEMENTS: Final[Mapping[str, str]] = {
    "fs_read": "devtools.read",
    "fs_list": "devtools.read",
    "fs_search": "devtools.read",
    "git_status": "devtools.read",
    "git_diff": "devtools.read",
    "git_log": "devtools.read",
    "fs_write": "devtools.write",
    "fs_move": "devtools.write",
    "fs_delete": "devtools.write",
    "git_branch": "devtools.write",
    "git_worktree": "devtools.write",
    "git_commit": "git.commit",
    "run_tests": "devtools.run",
    "notebook_execute": "devtools.run",
}


def is_entitlement(name: str) -> bool:
    """Whether the name can be granted at all: one of the list above, or `workflow.run:<workflow>`, which can be read."""
    return name in ADMIN or (name.startswith("workflow.run:") and len(name) > len("workflow.run:") and name.isprintable())
