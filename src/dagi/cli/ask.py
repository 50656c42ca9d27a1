"""`dagi ask` and `dagi explain`: one question to the running stack."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated, Literal, cast

import typer
from rich.table import Table

from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, console, say
from dagi.cli.stack import Stack
from dagi.errors import Invalid

Question = Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.")]
InDao = Annotated[str | None, typer.Option("--dao", help="The DAO to ask in; the profile's default where left out.")]
As = Annotated[str | None, typer.Option("--as", help="Ask as this person, for example tg:12345.")]
Session = Annotated[str | None, typer.Option("--session", help="The conversation the question belongs to.")]
Url = Annotated[str | None, typer.Option("--url", help="Where the stack listens.")]
Key = Annotated[str | None, typer.Option("--key", help="An API key; DAGI_KEY or the demo key where left out.")]


def ask(
    question: Question,
    dao: InDao = None,
    as_user: As = None,
    session: Session = None,
    provider: Annotated[str | None, typer.Option(help="The provider you wish for; a rule decides whether the wish counts.")] = None,
    url: Url = None,
    key: Key = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Ask the DAO's assistant.

    Example: dagi ask "Що це за DAO і які тут проєкти?"
    """
    stack = Stack.of(installation(profile, config), url, key)
    body = _body(question, {"dao_id": dao, "user_id": as_user, "session_id": session, "provider": provider})
    if json:
        as_json(asyncio.run(stack.post("/route", body)))
    else:
        asyncio.run(_tell(stack, body))


async def _tell(stack: Stack, body: Mapping[str, object]) -> None:
    async for event in stack.stream("/route", body):
        match event:
            case {"type": "delta", "text": str(text)}:
                sys.stdout.write(text)
                sys.stdout.flush()
            case {"type": "attempt", "provider": str(provider), "outcome": str(outcome)}:
                sys.stderr.write(f"({provider}: {outcome})\n")
            case {"type": "end", "provider": str(provider), "model": str(model), "timings_ms": {"total": float() | int() as total}}:
                sys.stdout.write("\n")
                sys.stdout.flush()
                sys.stderr.write(f"— {provider} ({model}), {total / 1000:.1f} s\n")
            case _:
                pass


def explain(
    question: Question,
    dao: InDao = None,
    as_user: As = None,
    mode: Annotated[Literal["chat", "devtools", "crew"], typer.Option(help="The mode of the message.")] = "chat",
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
    stack = Stack.of(installation(profile, config), url, key)
    body = {**_body(question, {"dao_id": dao, "user_id": as_user, "provider": provider}), "mode": mode}
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
    limits = cast("Mapping[str, float | None]", answer["limits"])
    say("Limits   " + (", ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None) or "the targets' own"))
    context = cast("Mapping[str, bool]", answer["context"])
    say("Context  " + (", ".join(name for name, on in context.items() if on) or "nothing is added"))
    refusal = cast("Mapping[str, object] | None", answer["refusal"])
    say("Allowed  yes" if refusal is None else f"Allowed  no: {refusal['code']}: {refusal['message']}")
    rules = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("priority", "rule", "outcome", "condition that decided"):
        rules.add_column(column)
    for verdict in cast("list[Mapping[str, object]]", answer["rules"]):
        rules.add_row(str(verdict["priority"]), str(verdict["rule"]), str(verdict["outcome"]), str(verdict["condition"]))
    console().print(rules)


def _body(question: str, metadata: Mapping[str, str | None]) -> dict[str, object]:
    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise Invalid("There is no question.", field="question")
    said = {name: value for name, value in metadata.items() if value is not None}
    return {"prompt": text, "metadata": {**said, "source": "cli"}}
