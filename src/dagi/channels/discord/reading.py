"""What an interaction of Discord means to us."""

from typing import Final

from dagi.channels.discord.interactions import Data, Interaction, Option, Type, snowflake
from dagi.channels.discord.messages import Plain
from dagi.channels.incoming import Heard, Ignored, Incoming, Place, Pressed

# What is nobody's business but the asker's; Discord wants to know before there is an answer.
PRIVATE: Final = frozenset({"whoami", "link", "feedback"})
# The command whose words are a question.
ASK: Final = "ask"
FEEDBACK: Final = "feedback"
# The input of a modal, and a menu in place of many buttons.
WORDS: Final = "words"
PICK: Final = "pick"
# What buttons carry that lead somewhere, rather than say something.
CHOSEN: Final = ("do:", "ask:")
# A command of an application with a slash before it; the others stand in menus of messages and people.
_CHAT_INPUT: Final = 1
# As Telegram's are called: Discord knows one command for both.
_NAMES: Final = {"proposal": ("proposals", "proposal")}


def read(interaction: Interaction) -> Heard:
    """What it means. Pings and what is being typed are answered at once and never come here."""
    match interaction.type:
        case Type.COMMAND:
            return _command(interaction)
        case Type.COMPONENT:
            return _pressed(interaction)
        case Type.MODAL:
            return _submitted(interaction)
        case _:
            return Ignored("an interaction of a kind that is not known")


def heard_plainly(plain: Plain) -> Incoming:
    """What plain words mean. A command is written as one, too: Discord's own are not everywhere."""
    unreadable = "document" if plain.files and not plain.content else ""
    command, _, words = plain.content.partition(" ")
    slashed = command.startswith("/") and command[1:].isalpha()
    return Incoming(
        place=Place(chat=plain.channel_id, reply_to=int(plain.id), private=not plain.guild_id),
        user_id=f"dc:{plain.author}" if snowflake(plain.author) else "",
        command=command[1:].lower() if slashed else "",
        text=words.strip() if slashed else plain.content,
        unreadable=unreadable,
    )


def typed(data: Data) -> Option | None:
    """What somebody is typing."""
    return next((option for option in data.options if option.focused), None)


def is_ephemeral(interaction: Interaction) -> bool:
    """Whether the answer is shown to the asker alone, and gone when they start Discord again.

    In servers so are those to buttons and modals, which one person of many pressed, and all of them where the bot is no member. With the
    bot alone people find again what they asked for.
    """
    data = interaction.data
    if interaction.type == Type.COMMAND and data.name in PRIVATE:
        return True
    if interaction.with_bot_alone:
        asks = interaction.type == Type.COMMAND or data.custom_id == PICK or data.custom_id.startswith(CHOSEN)
        return not asks
    return interaction.type != Type.COMMAND or not interaction.guild_id


def with_others(interaction: Interaction) -> bool:
    """Whether others read what is said to everybody there."""
    return not interaction.with_bot_alone


def _command(interaction: Interaction) -> Heard:
    data = interaction.data
    if data.type != _CHAT_INPUT:
        return Ignored("a command of a menu, which we have not offered")
    words = next((str(option.value).strip() for option in data.options), "")
    if data.name == ASK:
        return _said(interaction, "", words)
    without, having = _NAMES.get(data.name, (data.name, data.name))
    return _said(interaction, having if words else without, words)


def _pressed(interaction: Interaction) -> Heard:
    data = interaction.data
    return Pressed(
        place=_place(interaction),
        user_id=_user_id(interaction),
        query=interaction.id,
        # What is chosen from a menu is what its button would carry.
        data="".join(data.values[:1]) if data.custom_id == PICK else data.custom_id,
        message=0 if interaction.message is None else int(snowflake(interaction.message.id) or 0),
        language=interaction.locale,
    )


def _submitted(interaction: Interaction) -> Heard:
    data = interaction.data
    inputs = (one for component in data.components for one in component.inputs())
    words = next((one.value.strip() for one in inputs if one.custom_id == WORDS), "")
    return _said(interaction, data.custom_id, words)


def typing(interaction: Interaction) -> Incoming:
    """Whoever is typing, without what they type."""
    return _said(interaction, "", "")


def _said(interaction: Interaction, command: str, words: str) -> Incoming:
    return Incoming(
        place=_place(interaction), user_id=_user_id(interaction), language=interaction.locale, command=command.lower(), text=words
    )


def _place(interaction: Interaction) -> Place:
    return Place(chat=interaction.place, private=is_ephemeral(interaction) or not with_others(interaction))


def _user_id(interaction: Interaction) -> str:
    return f"dc:{interaction.person}" if interaction.person else ""
