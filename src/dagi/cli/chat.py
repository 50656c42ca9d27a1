"""`dagi chat`: a conversation with the running stack."""

import asyncio
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Annotated, Final, cast
from urllib.parse import quote

import typer

from dagi.cli.ask import As, InDao, Key, Url
from dagi.cli.line import Asking
from dagi.cli.options import AsJson, Config, Profile, looked_at
from dagi.cli.output import as_json, fail, say, table, write
from dagi.cli.stack import Stack
from dagi.errors import DagiError, Invalid, Missing

SHOWN: Final = 3
STOPPED: Final = 130
HELP: Final = """\
/help           this
/new            begin a new session
/sessions       your sessions
/resume [ID]    go on with a session, the latest where no ID is given
/history        what was said in this session
/quit           leave (Ctrl-D, too)
Enter sends. Alt-Enter, or a backslash at the end of a line, begins a new line. Ctrl-C stops an answer. A line that begins with // is
sent with one slash."""


def chat(
    session: Annotated[str | None, typer.Argument(metavar="[ID]", help="With --resume: the session's id.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a session; the latest where no ID is given.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List your sessions and leave.")] = False,
    dao: InDao = None,
    as_user: As = None,
    url: Url = None,
    key: Key = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Talk with the DAO's assistant; it remembers the session. Without a terminal every line of standard input is a question.

    Example: dagi chat --resume
    """
    if session is not None and not resume:
        raise Invalid("To go on with a session write --resume ID. One question is asked with `dagi ask`.", field="session")
    if json and not show_list:
        raise Invalid("--json goes with --list. `dagi ask --json` answers one question as JSON.", field="json")
    talk = Talk(Stack.of(looked_at(profile, config), url, key), dao, as_user)
    # An interruption while nothing is asked ends the program; asyncio would only note it while a line is read.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = asyncio.run(_listed(talk, json=json) if show_list else _chat(talk, session or "" if resume else None))
    except KeyboardInterrupt:
        status = STOPPED
    raise typer.Exit(status)


async def _listed(talk: "Talk", *, json: bool) -> int:
    found = await talk.sessions()
    if json:
        as_json(found)
    else:
        _show_sessions(found)
    return 0


async def _chat(talk: "Talk", resumed: str | None) -> int:
    if resumed is not None:
        await talk.resume(resumed)
    asking = Asking.of_terminal()
    if asking.interactive:
        # Ctrl-C stops answers and throws away what was typed; in the moment between the two there is nothing to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say(f"Session {talk.session_id}. /help tells the commands, Ctrl-D leaves.")
    status = 0
    async with aclosing(asking.lines()) as lines:
        async for line in lines:
            try:
                if line == "/quit":
                    break
                stopped = await _interruptible(talk.hear(line))
                if stopped and not asking.interactive:
                    return STOPPED
            except DagiError as error:
                # The conversation goes on; a program that reads the exit status hears of it.
                status = fail(error)
    return 0 if asking.interactive else status


async def _interruptible(work: Coroutine[object, object, None]) -> bool:
    """Do the work; Ctrl-C ends it, and nothing else. Whether it was ended."""
    loop, task, before = asyncio.get_running_loop(), asyncio.create_task(work), signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        await asyncio.wait([task])
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
    if task.cancelled():
        write("\n(stopped)\n", sys.stderr)
        return True
    task.result()
    return False


class Talk:
    """One person's conversation in one DAO.

    Attributes:
        session_id: of the session that goes on.
    """

    def __init__(self, stack: Stack, dao_id: str | None, user_id: str | None) -> None:
        self._stack = stack
        self._who = {"dao_id": dao_id, "user_id": user_id}
        self.session_id = _new_session()
        self._commands: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "/help": self._help,
            "/new": self._new,
            "/sessions": self._list,
            "/resume": self.resume,
            "/history": self._history,
        }

    async def hear(self, line: str) -> None:
        """Do what a line says: a command, or a question.

        Raises:
            Invalid: there is no such command.
            Refused, NotRunning: see `Stack`.
        """
        word, _, rest = line.strip().partition(" ")
        if word.startswith("//") or not word.startswith("/"):
            await self._ask(line[1:] if word.startswith("//") else line)
        elif word in self._commands:
            await self._commands[word](rest.strip())
        else:
            raise Invalid(f"There is no command {word[:40]}. /help tells those there are.", field="command")

    async def sessions(self) -> list[Mapping[str, object]]:
        """The person's sessions, the latest first."""
        return cast("list[Mapping[str, object]]", (await self._stack.get("/sessions", self._who))["sessions"])

    async def resume(self, session_id: str) -> None:
        """Go on with a session, the latest for an empty id, and show how it ended.

        Raises:
            Missing: the person has none.
            Refused: the person has none of that id.
        """
        if not session_id:
            found = await self.sessions()
            if not found:
                raise Missing("You have no session yet to go on with.")
            session_id = str(found[0]["session_id"])
        said = await self._said(session_id)
        self.session_id = session_id
        if len(said) > SHOWN:
            say(f"({len(said) - SHOWN} earlier; /history shows them)")
        _show_said(said[-SHOWN:])

    async def _ask(self, question: str) -> None:
        said = {name: value for name, value in self._who.items() if value is not None}
        body = {"prompt": question, "metadata": {**said, "session_id": self.session_id, "source": "cli"}}
        begun = False
        async with aclosing(self._stack.stream("/route", body)) as events:
            async for event in events:
                match event:
                    case {"type": "delta", "text": str(text)}:
                        begun = True
                        write(text, sys.stdout)
                    case {"type": "end", "provider": str(provider), "model": str(model)}:
                        write("\n" if begun else "(no words)\n", sys.stdout)
                        write(f"— {provider} ({model})\n", sys.stderr)
                    case _:
                        pass

    async def _said(self, session_id: str) -> list[Mapping[str, object]]:
        answer = await self._stack.get(f"/sessions/{quote(session_id, safe='')}", self._who)
        return cast("list[Mapping[str, object]]", answer["exchanges"])

    async def _help(self, _rest: str) -> None:
        say(HELP)

    async def _new(self, _rest: str) -> None:
        self.session_id = _new_session()
        say(f"Session {self.session_id}.")

    async def _list(self, _rest: str) -> None:
        _show_sessions(await self.sessions())

    async def _history(self, _rest: str) -> None:
        _show_said(await self._said(self.session_id))


def _new_session() -> str:
    return f"cli-{secrets.token_hex(6)}"


def _show_sessions(found: list[Mapping[str, object]]) -> None:
    rows = [(one["session_id"], str(one["latest"])[:16].replace("T", " "), one["exchanges"], one["title"]) for one in found]
    table(("session", "latest (UTC)", "exchanges", "began with"), rows, empty="You have no session yet.")


def _show_said(said: list[Mapping[str, object]]) -> None:
    for one in said:
        end = "" if one["outcome"] == "ok" else f" ({one['outcome']})"
        write(f"> {one['prompt'] or '(the text is no longer kept)'}\n{one['answer']}{end}\n\n", sys.stdout)
