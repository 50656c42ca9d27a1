"""Choosing a rule among 10 and among 1,000, for the ways in which installations write their rules."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import msgspec

from dagi.access.decide import DaoStanding, Membership, Standing, decide
from dagi.access.entitlements import is_entitlement
from dagi.message import Message, Sender
from dagi.observe.clock import SystemClock
from dagi.rules.compile import compile_rules
from dagi.rules.known import Known
from dagi.rules.rule import Rule
from dagi.rules.ruleset import RuleSet
from figures import Plan, Row, short
from timing import over, paired_ratio, side_by_side, wall_us

FEW, MANY = 10, 1_000
CALLS = 50
PROMPT = "Доброго дня! Скажіть, будь ласка, коли наступне голосування і що там із рахунком за насіння?"


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """A way of writing rules: the conditions of the rule with that number, and what of a message makes it meet that rule."""

    name: str
    conditions: Callable[[int], Mapping[str, object]]
    meeting: Callable[[int], Message]
    entitlements: Callable[[int], frozenset[str]] = lambda _number: frozenset()


def _message(dao_id: str = "dao", prompt: str = PROMPT, agent: str | None = None, task_type: str | None = None, **metadata: str) -> Message:
    sender = Sender(dao_id=dao_id, user_id="tg:12345", source="telegram")
    return Message(id="request", sender=sender, prompt=prompt, agent=agent, task_type=task_type, metadata=metadata)


def _mixed(number: int) -> Mapping[str, object]:
    common = {"mode": "chat", "not": {"role": "admin", "language": "en"}}
    return (
        {**common, "metadata_has": f"key_{number}", "prompt_tokens_over": number},
        {**common, "any": [{"agent": f"agent-{number}"}, {"task_type": f"task-{number}"}]},
        {**common, "role": "member", "prompt_matches": rf"(?i)(invoice|рахунок) {number}$"},
        {**common, "prompt_tokens_under": number, "entitlement": f"workflow.run:task_{number}"},
        {**common, "language": ["uk", "ru"], "metadata": {f"key_{number}": ["x", "y"]}},
    )[number % 5]


MIXES = (
    Mix(
        name="by DAO",
        conditions=lambda number: {"mode": "chat", "dao_id": f"dao-{number}"},
        meeting=lambda number: _message(dao_id=f"dao-{number}"),
    ),
    Mix(
        name="by agent or metadata",
        conditions=lambda number: {"agent": f"agent-{number}"} if number % 2 else {"metadata": {"team": f"team-{number}"}},
        meeting=lambda number: _message(agent=f"agent-{number}") if number % 2 else _message(team=f"team-{number}"),
    ),
    Mix(
        name="by DAO and prompt pattern",
        conditions=lambda number: {"dao_id": f"dao-{number // 5}", "prompt_matches": rf"(?i)(invoice|рахунок) {number}$"},
        meeting=lambda number: _message(dao_id=f"dao-{number // 5}", prompt=f"{PROMPT} Рахунок {number}"),
    ),
    Mix(
        name="by prompt pattern alone",
        conditions=lambda number: {"mode": "chat", "prompt_matches": rf"(?i)(invoice|рахунок) {number}$"},
        meeting=lambda number: _message(prompt=f"{PROMPT} Рахунок {number}"),
    ),
    Mix(
        name="by entitlement",
        conditions=lambda number: {"mode": "chat", "entitlement": f"workflow.run:task_{number}"},
        meeting=lambda _number: _message(),
        entitlements=lambda number: frozenset({f"workflow.run:task_{number}"}),
    ),
    Mix(
        name="of every kind, nested",
        conditions=_mixed,
        meeting=lambda number: _message(prompt=f"{PROMPT} Рахунок {number}", task_type=f"task-{number}", **{f"key_{number}": "x"}),
    ),
)


def rows(plan: Plan) -> list[Row]:
    """One row a mix; the message always meets the last rule."""
    return [_row(mix, plan) for mix in MIXES]


def _row(mix: Mix, plan: Plan) -> Row:
    choosing_few, choosing_many = _choosing(mix, FEW), _choosing(mix, MANY)
    numbers = range(CALLS)
    few, many = side_by_side((over(choosing_few, numbers), over(choosing_many, numbers)), CALLS, plan.pick(40, 3))
    spread = wall_us(choosing_many, range(plan.pick(3_000, 100)))
    ratio = paired_ratio(many, few)
    return Row(
        what=f"rule choice {mix.name}, last of {MANY:,}",
        main=f"{short(median(many))} µs CPU",
        ratio=f"{short(ratio)} × among {FEW}",
        p50=f"{short(spread.p50)} µs",
        p99=f"{short(spread.p99)} µs",
        more=f"among {FEW}: {short(median(few))} µs",
        numbers={
            "few_us": median(few),
            "many_us": median(many),
            "ratio": ratio,
            "p50_us": spread.p50,
            "p99_us": spread.p99,
        },
    )


def _choosing(mix: Mix, count: int) -> Callable[[int], Rule]:
    rules = _compiled(
        [
            {"name": f"rule_{number}", "priority": number, "conditions": mix.conditions(number), "use_provider": "model"}
            for number in range(count)
        ]
    )
    message = mix.meeting(count - 1)
    standing = Standing(DaoStanding(name="DAO"), Membership(roles=("member",)))
    grant = decide(message.sender, standing, SystemClock().now(), "decision")
    grant = msgspec.structs.replace(grant, entitlements=grant.entitlements | mix.entitlements(count - 1))
    chosen = rules.choose(message, grant).name
    if chosen != f"rule_{count - 1}":
        raise RuntimeError(f"the message was to meet the last rule and met {chosen}")
    return lambda _number: rules.choose(message, grant)


def _compiled(raw: Sequence[Mapping[str, object]]) -> RuleSet:
    rules, complaints = compile_rules(
        raw, Known(providers={"model"}, configured={"model"}, selectable=set(), is_entitlement=is_entitlement)
    )
    fatal = [complaint for complaint in complaints if complaint.fatal]
    if fatal:
        raise RuntimeError(str(fatal))
    return rules
