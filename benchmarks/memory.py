"""Resident memory of the answering process and of the embedder, after the start and after many requests."""

from dagi.stores.database import FILE_NAME
from fact_search import index_of
from facts import documents, questions
from figures import Plan, Row
from load import Target, fire
from nginx import scripted_upstream
from processes import cores, needs, rss_mib
from stack import install, question, serving, twenty_rules

REQUESTS = 20_000
FACTS = 100
CONNECTIONS = 16
# One request in so many is answered with facts as context, which asks the embedder too.
GROUNDED = 10


def rows(plan: Plan) -> list[Row]:
    """One row a process."""
    needs("nginx", "wrk", "taskset")
    work = plan.work / "memory"
    work.mkdir()
    wanted = plan.pick(REQUESTS, REQUESTS // 20)
    grounded: dict[str, object] = {
        "name": "grounded",
        "priority": 0,
        "conditions": {"mode": "chat", "metadata": {"team": "grounded"}},
        "use_provider": "scripted",
        "context": {"facts": True, "roles": True},
    }
    asked = questions(500)
    bodies = work / "bodies"
    bodies.write_text(
        "\n".join(question(prompt, team="grounded") if number % GROUNDED == 0 else question(prompt) for number, prompt in enumerate(asked))
        + "\n"
    )
    with scripted_upstream(work, cores()[1]) as upstream:
        rules = [grounded, *twenty_rules()]
        facts = documents(plan.pick(FACTS, FACTS // 5))
        installation = install(work / "stack", upstream=upstream.url, rules=rules, embedder=True, documents=facts)
        with serving(installation) as stack:
            index_of(installation.data_dir / FILE_NAME)
            processes = {name: stack.process(name) for name in ("front", "embedder")}
            before = {name: rss_mib([process]) for name, process in processes.items()}
            target = Target(url=f"{stack.url}/route", bodies=bodies, key=installation.key, processes=list(processes.values()))
            done = errors = 0
            while done < wanted:
                cost = fire(target, CONNECTIONS, 2)
                done, errors = done + cost.shot.requests, errors + cost.errors
            after = {name: rss_mib([process]) for name, process in processes.items()}
    return [
        Row(
            what=f"memory of the {'answering process' if name == 'front' else name}",
            main=f"{after[name]:.0f} MB after {done:,} requests",
            ratio=f"{after[name] / before[name]:.2f} × after the start",
            more=f"{before[name]:.0f} MB after the start; {errors} errors",
            numbers={"before_mib": before[name], "after_mib": after[name], "requests": done, "errors": errors},
        )
        for name in processes
    ]
