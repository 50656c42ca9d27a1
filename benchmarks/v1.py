"""`POST /v1/chat/completions`, whole and streamed, beside nginx as a plain reverse proxy, the LiteLLM proxy and the Portkey gateway."""

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

import v1_streams
from figures import Plan, Row, short
from gateways import DAGI, DIRECT, PATH, Gateway, per_core, question, running, told
from load import Cost, Target, fire
from nginx import scripted_upstream
from processes import cores, needs

CONNECTIONS = (1, 8, 64)
Costs = Mapping[tuple[str, int], list[Cost]]


def rows(plan: Plan) -> list[Row]:
    """A row for each gateway and number of connections: whole answers, streams; then a thousand streams at once."""
    needs("nginx", "wrk", "taskset")
    return [*_whole(plan), *v1_streams.rows(plan)]


def _whole(plan: Plan) -> list[Row]:
    measured, loading = cores()
    work = plan.work / "v1"
    work.mkdir()
    bodies = work / "bodies"
    bodies.write_text(question(stream=False) + "\n")
    with scripted_upstream(work, loading) as upstream, running(work / "whole", measured, upstream.url, streams=False) as field:
        broken = {one.what: wrong for one in field.gateways if (wrong := _mistake(one))}
        if DAGI in broken:
            raise RuntimeError(f"{PATH} answered something else than the model's text: {broken[DAGI]}")
        gateways = [one for one in field.gateways if one.what not in broken]
        costs = _in_turns(plan, gateways, bodies)
        memory = {one.what: one.rss_mib for one in gateways}
    found = [_row(one.what, number, costs, memory[one.what]) for number in CONNECTIONS for one in gateways]
    return [*found, *field.absent, *(Row(what=what, main="broken", more=why) for what, why in broken.items())]


def _mistake(gateway: Gateway) -> str:
    """What is wrong with its answer, so that nothing is measured but answers of the model; empty for nothing."""
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json", **gateway.headers}
    request = urllib.request.Request(gateway.url, question(stream=False).encode(), headers)  # noqa: S310 - our own loopback address
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the same
            answer = msgspec.json.decode(response.read())
    except urllib.error.HTTPError as error:
        return f"status {error.code}: {error.read()[:300]!r}"
    text = answer["choices"][0]["message"]["content"]
    return "" if text.startswith("GreenFood DAO is") and answer["usage"]["total_tokens"] == 105 else str(answer)[:300]


def _in_turns(plan: Plan, gateways: Sequence[Gateway], bodies: Path) -> Costs:
    targets = {one.what: Target(url=one.url, bodies=bodies, key=one.key, processes=one.processes, headers=one.headers) for one in gateways}
    costs: dict[tuple[str, int], list[Cost]] = {(name, number): [] for name in targets for number in CONNECTIONS}
    for target in targets.values():
        fire(target, CONNECTIONS[1], 3)
    for _ in range(plan.rounds):
        for number in CONNECTIONS:
            for name, target in targets.items():
                costs[name, number].append(fire(target, number, plan.pick(4, 3)))
    return costs


def _row(name: str, connections: int, costs: Costs, memory: float) -> Row:
    ours, direct = costs[name, connections], costs[DIRECT, connections]
    cpu = median(cost.cpu_us for cost in ours)
    p50, p99 = (median(times) for times in ([one.shot.p50_us for one in ours], [one.shot.p99_us for one in ours]))
    added = [
        median(getattr(mine.shot, which) - getattr(floor.shot, which) for mine, floor in zip(ours, direct, strict=True))
        for which in ("p50_us", "p99_us")
    ]
    errors, requests = sum(cost.errors for cost in ours), sum(cost.shot.requests for cost in ours)
    # An error costs next to nothing: who answers with them is compared with nobody.
    sound = {
        what: [one.cpu_us for one in costs[what, connections]]
        for what, number in costs
        if number == connections and _sound(costs[what, number])
    }
    ratios = {} if name == DIRECT or name not in sound else per_core(name, sound)
    beside = "" if name == DIRECT else f", added {added[0] / 1000:.2f} / {added[1] / 1000:.2f} ms, {1e6 / cpu:,.0f} rps per core"
    return Row(
        what=f"{name}, whole, c{connections}",
        main="" if name == DIRECT else f"{short(cpu)} µs CPU/request" if name in sound else f"{errors:,} of {requests:,} failed",
        ratio=told(name, ratios),
        p50=f"{p50 / 1000:.2f} ms",
        p99=f"{p99 / 1000:.2f} ms",
        more=f"{errors} errors{beside}, {memory:.0f} MB RSS",
        numbers={
            "cpu_us": [cost.cpu_us for cost in ours],
            "per_core_beside": ratios,
            "rps_wall": [cost.shot.requests / cost.shot.seconds for cost in ours],
            "p50_us": [cost.shot.p50_us for cost in ours],
            "p99_us": [cost.shot.p99_us for cost in ours],
            "added_p50_us": added[0],
            "added_p99_us": added[1],
            "errors": errors,
            "requests": requests,
            "rss_mib": memory,
        },
    )


def _sound(costs: Sequence[Cost]) -> bool:
    return sum(cost.errors for cost in costs) <= sum(cost.shot.requests for cost in costs) / 100
