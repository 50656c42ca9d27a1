"""`dagi ask` and `dagi explain`: one question to the running stack."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Literal, cast

import typer

from dagi.cli.options import AsJson, Config, Profile, account_option, looked_at
from dagi.cli.output import as_json, say, standard_input, table, write
from dagi.cli.stack import Stack
from dagi.cli.steps import tell_step
from dagi.errors import Invalid

MOST_BYTES = 16 * 1024 * 1024
Question = Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.")]
InDao = Annotated[str | None, typer.Option("--dao", help="The DAO to ask in; the profile's default where left out.")]
As = Annotated[str | None, typer.Option("--as", callback=account_option, help="Ask as this person, for example tg:12345.")]
Session = Annotated[str | None, typer.Option("--session", help="The conversation the question belongs to.")]
Agent = Annotated[str | None, typer.Option("--agent", help="The agent to ask, for example devtools, which works with the developer tools.")]
Url = Annotated[str | None, typer.Option("--url", help="Where the stack listens.")]
Key = Annotated[str | None, typer.Option("--key", help="An API key; DAGI_KEY or the demo key where left out.")]


def ask(
    question: Question,
    dao: InDao = None,
    as_user: As = None,
    session: Session = None,
    agent: Agent = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="The workspace the agent works in; main where left out.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="The provider you wish for; a rule decides whether the wish counts.")] = None,
    url: Url = None,
    key: Key = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Ask the DAO's assistant. What an agent does meanwhile is told on stderr.

    Example: dagi ask "Що це за DAO і які тут проєкти?"
    """
    stack = Stack.of(looked_at(profile, config), url, key)
    metadata = {"dao_id": dao, "user_id": as_user, "session_id": session, "provider": provider, "workspace": workspace}
    body = _body(question, metadata, agent)
    if json:
        as_json(asyncio.run(stack.post("/route", body)))
    else:
        asyncio.run(_tell(stack, body))


async def _tell(stack: Stack, body: Mapping[str, object]) -> None:
    async for event in stack.stream("/route", body):
        match event:
            case {"type": "delta", "text": str(text)}:
                write(text, sys.stdout)
            case {"type": "progress", **step}:
                tell_step(step)
            case {"type": "attempt", "provider": str(provider), "outcome": str(outcome)}:
                write(f"({provider}: {outcome})\n", sys.stderr)
            case {"type": "end", "provider": str(provider), "model": str(model), "timings_ms": {"total": float() | int() as total}}:
                write("\n", sys.stdout)
                write(f"— {provider} ({model}), {total / 1000:.1f} s\n", sys.stderr)
            case _:
                pass


def explain(
    question: Question,
    dao: InDao = None,
    as_user: As = None,
    mode: Annotated[Literal["chat", "devtools", "crew"], typer.Option(help="The mode of the message.")] = "chat",
    agent: Agent = None,
    provider: Annotated[str | None, typer.Option(help="The provider wished for.")] = None,
    url: Url = None,
    key: Key = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Say why a question would go where it would go, without asking any target.

    Example: dagi explain "Review my proposal" --as tg:12345
    """
    stack = Stack.of(looked_at(profile, config), url, key)
    body = {**_body(question, {"dao_id": dao, "user_id": as_user, "provider": provider}, agent), "mode": mode}
    answer = asyncio.run(stack.post("/route/explain", body))
    if json:
        as_json(answer)
        return
    _show(answer)


def _show(answer: Mapping[str, object]) -> None:
    grant = cast("Mapping[str, object]", answer["grant"])
    roles = ", ".join(cast("list[str]", grant["roles"])) or "none"
    say(f"Who      {grant['user_id']} in {grant['dao_id']}: roles {roles} ({grant['reason']})")
    needs = f", needs {answer['requires']}" if answer["requires"] else ""
    say(f"Rule     {answer['rule'] or 'none matches'}{needs}")
    say(f"Targets  {' → '.join(cast('list[str]', answer['targets'])) or 'none'}")
    limits = cast("Mapping[str, object]", answer["limits"])
    say("Limits   " + (_values(limits) or "no deadline"))
    for target in cast("list[Mapping[str, object]]", limits["targets"]):
        say(f"         {target['name']}: {target['state']}, {_values(target)}")
    context = cast("Mapping[str, bool]", answer["context"])
    say("Context  " + (", ".join(name for name, on in context.items() if on) or "nothing is added"))
    for share in cast("list[Mapping[str, object]]", answer["shares"]):
        say(f"Share    {share['provider']}: {share['share']:.1%} (weight {share['weight']:g})")
    parameters = cast("Mapping[str, object]", answer["parameters"])
    if parameters:
        say("Model    " + ", ".join(f"{name} {value}" for name, value in parameters.items()))
    if answer["cache_ttl_s"] is not None:
        say(f"Cache    an answer is given again for {answer['cache_ttl_s']:g} s")
    refusal = cast("Mapping[str, object] | None", answer["refusal"])
    say("Allowed  yes" if refusal is None else f"Allowed  no: {refusal['code']}: {refusal['message']}")
    verdicts = cast("list[Mapping[str, object]]", answer["rules"])
    rows = [(verdict["priority"], verdict["rule"], verdict["outcome"], verdict["condition"]) for verdict in verdicts]
    table(("priority", "rule", "outcome", "condition that decided"), rows, empty="There are no rules.")


def _values(limits: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in limits.items() if isinstance(value, int | float))


def _body(question: str, metadata: Mapping[str, str | None], agent: str | None) -> dict[str, object]:
    # Bytes the terminal's encoding has no letters for arrive as half characters, which nothing can send on.
    text = (standard_input(MOST_BYTES) if question == "-" else os.fsencode(question)).decode("utf-8", "replace")
    if not text.strip():
        raise Invalid("There is no question.", field="question")
    said = {name: value for name, value in metadata.items() if value is not None}
    return {"prompt": text, "metadata": {**said, "source": "cli"}, **({} if agent is None else {"agent": agent})}
