"""A million requests: whether the answering process needs more memory after them than after ten thousand."""

from figures import Plan, Row
from load import Target, fire
from nginx import scripted_upstream
from processes import cores, needs, rss_mib
from stack import install, question, serving, twenty_rules

EARLY = 10_000
LATE = 1_000_000
CONNECTIONS = 64
# Different questions and sessions, so that whatever is remembered of them would be seen.
QUESTIONS = 20_000


def rows(plan: Plan) -> list[Row]:
    """One row."""
    needs("nginx", "wrk", "taskset")
    measured, loading = cores()
    work = plan.work / "soak"
    work.mkdir()
    bodies = work / "bodies"
    lines = [question(f"Question {number}?", session_id=f"session-{number}") for number in range(QUESTIONS)]
    bodies.write_text("\n".join(lines) + "\n")
    early, late = plan.pick(EARLY, EARLY // 10), plan.pick(LATE, LATE // 50)
    with scripted_upstream(work, loading) as upstream:
        installation = install(work / "stack", upstream=upstream.url, rules=twenty_rules(), embedder=False)
        with serving(installation, core=measured) as stack:
            front = stack.process("front")
            target = Target(url=f"{stack.url}/route", bodies=bodies, key=installation.key, processes=[front])
            done = errors = first = 0
            before = 0.0
            while done < late:
                cost = fire(target, CONNECTIONS, 2 if done < early else 10)
                done, errors = done + cost.shot.requests, errors + cost.errors
                if not before and done >= early:
                    before, first = rss_mib([front]), done
            after = rss_mib([front])
    return [
        Row(
            what=f"memory after {done:,} requests",
            main=f"{after:.0f} MB",
            ratio=f"{after / before:.2f} × after {first:,}",
            more=f"{before:.0f} MB then; {errors} errors",
            numbers={"before_mib": before, "after_mib": after, "requests": done, "first": first, "errors": errors},
        )
    ]
