"""`/link` in a chat: a code to be told at another account, what it would join, and the confirmation. In private chats alone."""

from collections.abc import Mapping
from typing import Final

from dagi.catalogue import say
from dagi.channels.incoming import Incoming
from dagi.channels.told import Button, Told
from dagi.errors import Conflict, DagiError, Denied, Gone, Invalid, Missing
from dagi.ports.identities import Linking, Preview, Speaker

CONFIRM: Final = "link"
# What went wrong, in words for members; anything else is said as every refusal is.
_SENTENCES: Final[Mapping[type[DagiError], str]] = {
    Missing: "link.unknown",
    Gone: "link.unknown",
    Invalid: "link.unknown",
    Conflict: "link.refused",
    Denied: "link.refused",
}


class LinkTalk:
    """Links accounts by what is said in a chat. The platform has proved who says it."""

    def __init__(self, linking: Linking) -> None:
        self._linking = linking

    async def command(self, said: Incoming, language: str) -> Told:
        """`/link`, or `/link CODE`.

        Raises:
            DagiError: too much was begun, or the stack cannot do it now.
        """
        if not said.place.private:
            # A code that others read is theirs.
            return Told(markdown=say(language, "link.private"))
        speaker = Speaker(account=said.user_id)
        try:
            if not said.text:
                made = await self._linking.begin_code(speaker)
                return Told(markdown=say(language, "link.code", code=f"`{made.code}`") + "\n\n" + say(language, "link.how"))
            return self._shown(await self._linking.tell_code(speaker, said.text), language)
        except DagiError as error:
            return _refused(error, language)

    async def confirmed(self, user_id: str, secret: str, language: str) -> Told:
        """The button below a preview was pressed.

        Raises:
            DagiError: the stack cannot do it now.
        """
        try:
            found = await self._linking.confirm(Speaker(account=user_id), secret)
        except DagiError as error:
            return _refused(error, language)
        accounts = ", ".join(f"`{one.id}`" for one in found.identities)
        return Told(markdown=say(language, "link.done", accounts=accounts))

    def _shown(self, found: Preview, language: str) -> Told:
        account, other = (f"`{one}`" for one in found.accounts)
        sentences = [say(language, "link.preview", account=account, other=other)]
        if found.held and found.held_until is not None:
            held = ", ".join(f"`{one}`" for one in found.held)
            sentences.append(say(language, "link.held", until=f"{found.held_until:%Y-%m-%d %H:%M}", accounts=held))
        buttons = (Button(say(language, "link.yes"), f"{CONFIRM}:{found.confirm}"), Button(say(language, "link.no"), CONFIRM))
        return Told(markdown="\n\n".join(sentences), buttons=buttons)


def _refused(error: DagiError, language: str) -> Told:
    key = next((key for kind, key in _SENTENCES.items() if isinstance(error, kind)), None)
    if key is None:
        raise error
    return Told(markdown=say(language, key))
