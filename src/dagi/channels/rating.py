"""Thumbs below an answer, and `/feedback`: what people think of answers, kept with the exchange."""

from typing import Final

from dagi.catalogue import say
from dagi.channels.case import Case
from dagi.channels.told import Button, Told
from dagi.ports.dialogs import Dialogs
from dagi.ports.feedback import Feedback, Value

_VALUES: Final[dict[str, Value]] = {"good": 1, "bad": -1}
_THUMBS: Final = {"good": "👍", "bad": "👎"}
_PRESSED: Final = "✓"
RATINGS: Final = tuple(_VALUES)


class RatingTalk:
    """Takes feedback in by what is pressed and said in a chat."""

    def __init__(self, feedback: Feedback, dialogs: Dialogs) -> None:
        self._feedback = feedback
        self._dialogs = dialogs

    async def pressed(self, case: Case, what: str, number: str, tongue: str) -> Told:
        """A thumb below an answer; `number` is that of the update it answers.

        Raises:
            DagiError: it cannot be kept just now.
        """
        # An answer's own process may have it in memory still.
        await self._dialogs.saved()
        request_id = case.request_of(number)
        if not await self._feedback.rate(case.dao_id, request_id, case.said.user_id, _VALUES[what], session_id=case.session_id):
            return Told(markdown=say(tongue, "feedback.gone"), notice=True)
        # In a group it would be a mark for all to see, and the edits of many would keep its answers waiting.
        buttons = thumbs(number, what) if case.said.place.private else ()
        return Told(markdown=say(tongue, f"feedback.{what}"), notice=True, buttons=buttons)

    async def command(self, case: Case, tongue: str) -> Told:
        """`/feedback words`.

        Raises:
            DagiError: as for `pressed`.
        """
        if not case.said.text:
            return Told(markdown=say(tongue, "feedback.how"))
        await self._dialogs.saved()
        kept = await self._feedback.comment(case.dao_id, case.said.user_id, case.session_id, case.said.text)
        return Told(markdown=say(tongue, "feedback.words" if kept else "feedback.nothing"))


def thumbs(number: str, chosen: str = "") -> tuple[Button, ...]:
    """Up and down below the answer to the update of that number; none where it has none."""
    if not number:
        return ()
    return tuple(Button(f"{thumb} {_PRESSED}" if what == chosen else thumb, f"{what}:{number}") for what, thumb in _THUMBS.items())
