"""`dagi tool`: the developer tools, used from the command line as the operator."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
import typer

from dagi.assemble.bench import Bench
from dagi.cli.bench import InDao, with_bench
from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, say, standard_input, table, write
from dagi.cli.steps import tell_step
from dagi.errors import Invalid, UnknownTool
from dagi.message import Grant
from dagi.ports.devtools import Order, ToolInfo

app = typer.Typer(help="Developer tools: list, show, run.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The tool's name, for example fs_read.")]
MOST_BYTES: Final = 64 * 1024 * 1024


@app.command("list", epilog="Example: dagi tool list")
def list_all(dao: InDao = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List the tools."""
    infos = with_bench(installation(profile, config), dao, _infos)
    if json:
        as_json(infos)
        return
    rows = [(info.name, info.entitlement, info.runs, info.summary) for info in infos]
    table(("tool", "needs", "runs code", "what it does"), rows, empty="There are no tools.")


@app.command(epilog="Example: dagi tool show fs_read")
def show(name: Name, dao: InDao = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show what a tool takes."""
    info = _named(with_bench(installation(profile, config), dao, _infos), name)
    if json:
        as_json(info)
        return
    say(f"{info.name}: {info.summary.rstrip('.')}. Needs {info.entitlement}.\n")
    required = _takes(info).get("required", [])
    rows = [
        (parameter, _type(form), parameter in required, form.get("description", ""), msgspec.json.encode(form.get("default")).decode())
        for parameter, form in _properties(info).items()
    ]
    table(("parameter", "type", "required", "what it is", "default"), rows, empty="It takes nothing.")


@app.command(epilog="Example: dagi tool run fs_read --param path=README.md --workspace main --dao greenfood-dao")
def run(
    name: Name,
    dao: InDao = None,
    workspace: Annotated[str | None, typer.Option("--workspace", "-w", help="The workspace; main where left out.")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="A parameter, as name=value; JSON where it is no text.")] = None,
    json_params: Annotated[str | None, typer.Option(help="A file with the parameters as JSON, or - for standard input.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Run a tool. Exit status 0: it did its work, also where tests have failed."""
    given = _from_file(json_params)

    async def work(bench: Bench, grant: Grant) -> Mapping[str, object]:
        params = {**given, **_from_options(_named(bench.tools.tools(), name), param or [])}
        if workspace is not None:
            params["workspace"] = workspace
        order = Order(id=grant.decision_id, tool=name, params=params, grant=grant)
        return await bench.tools.call(order, tell_step)

    result = with_bench(installation(profile, config), dao, work)
    if json:
        as_json(result)
    else:
        # Through JSON, so that all lists are lists.
        _tell(msgspec.json.decode(msgspec.json.encode(result), type=dict[str, object]))


async def _infos(bench: Bench, _grant: Grant) -> Sequence[ToolInfo]:
    return bench.tools.tools()


def _named(infos: Sequence[ToolInfo], name: str) -> ToolInfo:
    found = next((info for info in infos if info.name == name), None)
    if found is None:
        raise UnknownTool(f"There is no tool {name!r}.", tool=name, allowed=sorted(info.name for info in infos))
    return found


def _takes(info: ToolInfo) -> Mapping[str, Any]:
    """The form of what it takes, which may stand under a name."""
    schema = cast("Mapping[str, Any]", info.takes)
    reference = schema.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if isinstance(reference, str) else schema


def _properties(info: ToolInfo) -> Mapping[str, Mapping[str, Any]]:
    return cast("Mapping[str, Mapping[str, Any]]", _takes(info).get("properties", {}))


def _type(form: Mapping[str, Any]) -> str:
    if "anyOf" in form:
        return " or ".join(_type(one) for one in form["anyOf"])
    if "enum" in form:
        return " | ".join(str(one) for one in form["enum"])
    return str(form.get("type", "object"))


def _from_file(file: str | None) -> dict[str, object]:
    if file is None:
        return {}
    try:
        content = standard_input(MOST_BYTES) if file == "-" else Path(file).read_bytes()
        return msgspec.json.decode(content, type=dict[str, object])
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.", field="json-params") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"What stands in {file} is no JSON object: {error}.", field="json-params") from error


def _from_options(info: ToolInfo, options: Sequence[str]) -> dict[str, object]:
    """Parameters as they were typed: as they stand where the tool takes a text, and as JSON otherwise."""
    forms = _properties(info)
    found: dict[str, object] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            raise Invalid(f"Write a parameter as name=value, not {option!r}.", field="param", allowed=list(forms))
        found[name] = text if "string" in _type(forms.get(name, {})).split(" or ") else _value(text)
    return found


def _value(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return text


def _tell(result: Mapping[str, object]) -> None:
    """What came of it: facts as lines, lists as tables, long texts as they are."""
    facts = [(name, value) for name, value in result.items() if not isinstance(value, list | Mapping) and "\n" not in str(value)]
    if facts:
        table(("result", ""), facts, empty="")
    for name, value in result.items():
        if isinstance(value, str) and "\n" in value:
            say(f"\n{name}:")
            write(value if value.endswith("\n") else value + "\n", sys.stdout)
        elif isinstance(value, list) and value:
            say(f"\n{name}:")
            _list(cast("list[object]", value))
        elif isinstance(value, Mapping) and value:
            say(f"\n{name}:")
            table(("", ""), [(key, _shown(one)) for key, one in cast("Mapping[str, object]", value).items()], empty="")


def _list(values: list[object]) -> None:
    if not all(isinstance(value, Mapping) for value in values):
        table(("",), [(_shown(value),) for value in values], empty="")
        return
    rows = cast("list[Mapping[str, object]]", values)
    columns = list(dict.fromkeys(key for row in rows for key, value in row.items() if value not in (None, "", [])))
    table(columns, [[_shown(row.get(column)) for column in columns] for row in rows], empty="")


def _shown(value: object) -> object:
    return msgspec.json.encode(value, enc_hook=str).decode() if isinstance(value, list | Mapping) else value
