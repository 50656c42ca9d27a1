"""Measures the stack and prints one table. `make bench` runs it; see docs/benchmarks.md."""

import argparse
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

import access_decision
import audit_record
import devtools
import fact_search
import memory
import overload
import revocation
import route
import rule_choice
import soak
import start_time
import telegram_updates
import v1
from figures import Plan, Row, Skipped, printed
from processes import machine

RESULTS = Path(__file__).resolve().parent.parent / ".bench"
BENCHMARKS: dict[str, Callable[[Plan], list[Row]]] = {
    "route": route.rows,
    "access": access_decision.rows,
    "rules": rule_choice.rows,
    "facts": fact_search.rows,
    "memory": memory.rows,
    "overload": overload.rows,
    "start": start_time.rows,
    "revocation": revocation.rows,
    "audit": audit_record.rows,
    "telegram": telegram_updates.rows,
    "devtools": devtools.rows,
    "soak": soak.rows,
    "v1": v1.rows,
}
# Only where they are named: each takes as long as all the others together, and the last one needs other gateways.
LONG = ("soak", "v1")


class _Options(argparse.Namespace):
    quick: bool
    only: list[str] | None
    rounds: int


def main() -> int:
    """Run the benchmarks; 1 when one of them failed, 0 when all went well or could not run here."""
    options = _options()
    RESULTS.mkdir(exist_ok=True)
    found: dict[str, list[Row]] = {}
    failed: list[str] = []
    print(machine(), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="run-", dir=RESULTS) as work:
        plan = Plan(quick=options.quick, rounds=1 if options.quick else options.rounds, work=Path(work))
        for name in options.only or [name for name in BENCHMARKS if name not in LONG]:
            began = time.monotonic()
            try:
                found[name] = BENCHMARKS[name](plan)
            except Skipped as why:
                found[name] = [Row(what=name, main="skipped", more=str(why))]
            except Exception as error:  # noqa: BLE001 - one that fails must not cost the figures of the others
                failed.append(f"{name}: {error!r}")
                found[name] = [Row(what=name, main="failed", more=type(error).__name__)]
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(printed(row for rows in found.values() for row in rows))
    print(f"\nAll numbers: {_saved(found, quick=options.quick).relative_to(RESULTS.parent)}", file=sys.stderr)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of under a minute; its figures mean little")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="this benchmark alone; may be given more than once")
    parser.add_argument("--rounds", type=int, default=3, help="turns of what is compared with nginx (3)")
    return parser.parse_args(namespace=_Options())


def _saved(found: dict[str, list[Row]], *, quick: bool) -> Path:
    now = dt.datetime.now(dt.UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    content = {"at": now, "machine": machine(), "quick": quick, "rows": found}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2))
    return path


if __name__ == "__main__":
    sys.exit(main())
