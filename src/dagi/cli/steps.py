"""What happens on the way to an answer, for whoever waits at a terminal: on stderr, beside the answer."""

import sys
from collections.abc import Mapping

import msgspec

from dagi.cli.output import write


def tell_step(event: Mapping[str, object]) -> None:
    """Say one thing: of a tool (see `dagi.ports.devtools.Hear`), or of the agent that uses tools."""
    match event:
        case {"kind": "queued", "ahead": int(ahead)}:
            write(f"waits for the sandbox, {ahead} before it\n", sys.stderr)
        case {"kind": "output", "text": str(text)}:
            write(text, sys.stderr)
        case {"kind": "said", "text": str(text)}:
            write(f"{text.strip()}\n", sys.stderr)
        case {"kind": "call", "tool": str(tool), "arguments": arguments}:
            write(f"→ {_line(tool)} {msgspec.json.encode(arguments).decode()}\n", sys.stderr)
        case {"kind": "result", "outcome": str(outcome), "said": str(said), "ms": float() | int() as ms}:
            write(f"{'✓' if outcome == 'ok' else '✗'} {_line(said)} ({ms / 1000:.1f} s)\n", sys.stderr)
        case {"kind": str(kind), **facts}:
            told = ", ".join(f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int | float))
            write(f"{kind}: {told}\n", sys.stderr)
        case _:
            pass


def _line(text: str) -> str:
    return " ".join(text.split())
