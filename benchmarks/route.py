"""`POST /route` without context, beside nginx as a plain reverse proxy to the same upstream in the same run."""

import urllib.request
from statistics import median

import msgspec

from figures import Plan, Row
from load import Cost, Target, fire
from nginx import reverse_proxy, scripted_upstream
from processes import cores, needs, rss_mib, tree
from stack import install, question, serving, twenty_rules
from timing import paired_ratio

CONNECTIONS = (1, 64)


def rows(plan: Plan) -> list[Row]:
    """One row for each of the two and each number of connections."""
    needs("nginx", "wrk", "taskset")
    measured, loading = cores()
    work = plan.work / "route"
    work.mkdir()
    bodies = work / "bodies"
    bodies.write_text(question("Привіт! Що це за DAO і які тут проєкти?") + "\n")
    with scripted_upstream(work, loading) as upstream, reverse_proxy(work, measured, upstream.port) as proxy:
        installation = install(work / "stack", upstream=upstream.url, rules=twenty_rules(), embedder=False)
        with serving(installation, core=measured) as stack:
            targets = {
                "nginx": Target(url=f"{proxy.url}/route", bodies=bodies, key="none", processes=tree(proxy.program.pid)),
                "dagi": Target(url=f"{stack.url}/route", bodies=bodies, key=installation.key, processes=tree(stack.program.pid)),
            }
            _check(targets["dagi"])
            costs = _in_turns(plan, targets)
            memory = {name: rss_mib(target.processes) for name, target in targets.items()}
    return [
        _row(name, connections, costs[name, connections], costs["nginx", connections], memory[name])
        for connections in CONNECTIONS
        for name in targets
    ]


def _check(target: Target) -> None:
    """Make sure that what is measured is an answer of the model and not an error."""
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        target.url,
        target.bodies.read_bytes(),
        {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
        answer = msgspec.json.decode(response.read())
    if answer["rule"] != "last" or not answer["response"].startswith("GreenFood DAO is"):
        raise RuntimeError(f"/route answered something else than the model's text: {answer}")


def _in_turns(plan: Plan, targets: dict[str, Target]) -> dict[tuple[str, int], list[Cost]]:
    costs: dict[tuple[str, int], list[Cost]] = {(name, number): [] for name in targets for number in CONNECTIONS}
    for target in targets.values():
        fire(target, CONNECTIONS[-1], plan.pick(2, 1))
    for _ in range(plan.rounds):
        for number in CONNECTIONS:
            for name, target in targets.items():
                costs[name, number].append(fire(target, number, plan.pick(4, 1)))
    return costs


def _row(name: str, connections: int, ours: list[Cost], theirs: list[Cost], memory: float) -> Row:
    cpu = median(cost.cpu_us for cost in ours)
    ratio = paired_ratio([cost.cpu_us for cost in theirs], [cost.cpu_us for cost in ours])
    p50 = median(cost.shot.p50_us for cost in ours) / 1000
    p99 = median(cost.shot.p99_us for cost in ours) / 1000
    errors = sum(cost.errors for cost in ours)
    return Row(
        what=f"{'nginx, plain proxy' if name == 'nginx' else '/route, context off'}, c{connections}",
        main=f"{cpu:.1f} µs CPU/request",
        ratio=f"{ratio:.3f} of nginx",
        p50=f"{p50:.2f} ms",
        p99=f"{p99:.2f} ms",
        more=f"{1e6 / cpu:,.0f} rps per core, {errors} errors, {memory:.0f} MB RSS",
        numbers={
            "cpu_us": [cost.cpu_us for cost in ours],
            "ratio_to_nginx": ratio,
            "rps_per_core": 1e6 / cpu,
            "rps_wall": [cost.shot.requests / cost.shot.seconds for cost in ours],
            "p50_ms": p50,
            "p99_ms": p99,
            "errors": errors,
            "requests": sum(cost.shot.requests for cost in ours),
            "rss_mib": memory,
        },
    )
