"""One finding of the doctor, and what it is about."""

import msgspec

from dagi.ports.provider import Finding

GIB = 1024**3


class Report(msgspec.Struct, frozen=True):
    """One finding and what it is about."""

    about: str
    finding: Finding


def good(about: str, what: str) -> Report:
    """It is as it should be."""
    return Report(about, Finding(severity="ok", what=what))


def bad(about: str, what: str, fix: str) -> Report:
    """The stack does not start, or does not answer, like this."""
    return Report(about, Finding(severity="error", what=what, fix=fix))


def odd(about: str, what: str, fix: str) -> Report:
    """It works, and the operator should know."""
    return Report(about, Finding(severity="warning", what=what, fix=fix))
