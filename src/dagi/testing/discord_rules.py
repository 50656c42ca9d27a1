"""What Discord's API takes and what it refuses of messages: content, embeds, components, modals, choices, and whom they ping.

Facts: https://docs.discord.com/developers/resources/message, …/components/reference, …/topics/opcodes-and-status-codes#json. Where the
documentation leaves open how a length is counted, UTF-16 code units are, which is the stricter way.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

EPHEMERAL: Final = 64
_LOADING: Final = 128
_COMPONENTS_V2: Final = 1 << 15
_CONTENT: Final = 2000
_MOST_EMBEDS: Final = 10
_EMBEDS_TOGETHER: Final = 6000
_SELECTS: Final = frozenset({3, 5, 6, 7, 8})
_PING: Final = re.compile(r"@everyone|@here|<@!?([0-9]+)>|<@&([0-9]+)>")
_MENTIONS: Final = frozenset({"everyone", "users", "roles"})

Json = Mapping[str, Any]


class DiscordError(Exception):
    """What the server refuses.

    Attributes:
        status: of HTTP.
        body: as JSON; see https://docs.discord.com/developers/reference#error-messages.
        headers: beside those that each answer has.
    """

    def __init__(self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(f"{status} {code} {message} {more or ''}".rstrip())
        self.status = status
        self.body: dict[str, object] = {"message": message, "code": code, **more}
        self.headers = headers or {}


def form(path: str, code: str, message: str) -> DiscordError:
    """A 400 about one place of the body, its parts parted by dots; an empty path is the body itself."""
    errors: dict[str, object] = {"_errors": [{"code": code, "message": message}]}
    for part in reversed(path.split(".")):
        errors = {part: errors} if part else errors
    return DiscordError(400, 50035, "Invalid Form Body", errors=errors)


def units(text: str) -> int:
    """A text's length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_of(holder: Json, name: str, path: str, most: int, *, least: int = 1, needed: bool = True) -> str:
    """A text of so many characters; empty where it is not there and need not be."""
    where = f"{path}.{name}"
    value = holder.get(name)
    if value is None:
        if needed:
            raise form(where, "BASE_TYPE_REQUIRED", "This field is required")
        return ""
    if not isinstance(value, str):
        raise form(where, "STRING_TYPE_CONVERT", f'Could not interpret "{value}" as string.')
    if units(value) > most or units(value) < least:
        said = f"Must be between {least} and {most} in length." if least else f"Must be {most} or fewer in length."
        raise form(where, "BASE_TYPE_BAD_LENGTH", said)
    return value


def listed(holder: Json, name: str, path: str, most: int, *, least: int = 0) -> list[Json]:
    """A list of so many objects; empty where it is not there."""
    where = f"{path}.{name}"
    value = holder.get(name)
    if value is None:
        value = []
    if not isinstance(value, list):
        raise form(where, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    found = cast("list[object]", value)
    if not least <= len(found) <= most:
        raise form(where, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")
    for at, one in enumerate(found):
        if not isinstance(one, dict):
            raise form(f"{where}.{at}", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    return cast("list[Json]", found)


def check_message(body: Json, *, empty: bool = False) -> None:
    """Refuse what is no message; without content, embeds and components it is none either unless `empty`."""
    if int(body.get("flags") or 0) & _COMPONENTS_V2:
        raise form("flags", "COMPONENTS_V2_UNSUPPORTED", "This scripted server does not know components of the second version.")
    content = text_of(body, "content", "", _CONTENT, least=0, needed=False)
    embeds = listed(body, "embeds", "", _MOST_EMBEDS)
    if sum(_embed(one, f"embeds.{at}") for at, one in enumerate(embeds)) > _EMBEDS_TOGETHER:
        raise form("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")
    rows = listed(body, "components", "", 5)
    check_rows(rows)
    _check_mentions(body)
    if not empty and not content.strip() and not embeds and not rows:
        raise DiscordError(400, 50006, "Cannot send an empty message")


def _embed(embed: Json, path: str) -> int:
    sizes = {"title": 256, "description": 4096}
    total = sum(units(text_of(embed, name, path, most, needed=False)) for name, most in sizes.items())
    for at, one in enumerate(listed(embed, "fields", path, 25)):
        where = f"{path}.fields.{at}"
        total += units(text_of(one, "name", where, 256)) + units(text_of(one, "value", where, 1024))
    footer = cast("Json", embed.get("footer") or {})
    return total + (units(text_of(footer, "text", f"{path}.footer", 2048)) if footer else 0)


def _check_mentions(body: Json) -> None:
    allowed = body.get("allowed_mentions")
    if allowed is None:
        return
    if not isinstance(allowed, dict):
        raise form("allowed_mentions", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    rules = cast("Json", allowed)
    parse = cast("Sequence[str]", rules.get("parse") or ())
    for at, one in enumerate(parse):
        if one not in _MENTIONS:
            raise form(f"allowed_mentions.parse.{at}", "BASE_TYPE_CHOICES", "Value must be one of {'users', 'roles', 'everyone'}.")
        if one != "everyone" and rules.get(one):
            raise form(
                "allowed_mentions",
                "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                f"parse:[{one!r}] and {one}: [ids...] are mutually exclusive.",
            )


def pings(body: Json) -> list[str]:
    """Whom a message wakes, as it names them; whoever does not say whom it may, may everybody."""
    rules = cast("Json | None", body.get("allowed_mentions"))
    found: list[str] = []
    for one in _PING.finditer(str(body.get("content") or "")):
        kind, who = ("users", one[1]) if one[1] else ("roles", one[2]) if one[2] else ("everyone", "")
        if rules is None or kind in (rules.get("parse") or ()) or (who and who in (rules.get(kind) or ())):
            found.append(one[0])
    return found


# --- components


def check_rows(rows: Sequence[Json]) -> None:
    """Refuse what is no action rows of a message."""
    seen: set[str] = set()
    for at, row in enumerate(rows):
        path = f"components.{at}"
        if row.get("type") != 1:
            raise form(f"{path}.type", "UNION_TYPE_CHOICES", "Value of field 'type' must be one of (1,).")
        inside = listed(row, "components", path, 5, least=1)
        if len(inside) > 1 and any(one.get("type") != 2 for one in inside):
            raise form(f"{path}.components", "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "The specified component exceeds the maximum width.")
        for place, one in enumerate(inside):
            _check_component(one, f"{path}.components.{place}", seen)


def _check_component(one: Json, path: str, seen: set[str]) -> None:
    kind = one.get("type")
    if kind == 2:
        _check_button(one, path, seen)
    elif kind in _SELECTS:
        _check_select(one, path, seen)
    else:
        raise form(f"{path}.type", "UNION_TYPE_CHOICES", "Value of field 'type' must be one of (2, 3, 5, 6, 7, 8).")


def _check_button(one: Json, path: str, seen: set[str]) -> None:
    style = one.get("style")
    text_of(one, "label", path, 80, least=0, needed=False)
    if style not in {1, 2, 3, 4, 5}:
        raise form(f"{path}.style", "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3, 4, 5}.")
    if not one.get("label") and not one.get("emoji"):
        raise form(path, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button must have a label or an emoji.")
    if style == 5:
        text_of(one, "url", path, 512)
        if "custom_id" in one:
            raise form(f"{path}.custom_id", "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", "A link has no custom id.")
    else:
        _check_id(one, path, seen)


def _check_select(one: Json, path: str, seen: set[str]) -> None:
    _check_id(one, path, seen)
    text_of(one, "placeholder", path, 150, least=0, needed=False)
    for name, floor, ceiling in (("min_values", 0, 25), ("max_values", 1, 25)):
        if not floor <= int(one.get(name, 1)) <= ceiling:
            raise form(f"{path}.{name}", "NUMBER_TYPE_RANGE", f"int value should be between {floor} and {ceiling}.")
    if one.get("type") != 3:
        return
    values: set[str] = set()
    for at, option in enumerate(listed(one, "options", path, 25, least=1)):
        where = f"{path}.options.{at}"
        text_of(option, "label", where, 100)
        text_of(option, "description", where, 100, needed=False)
        value = text_of(option, "value", where, 100)
        if value in values:
            raise form(f"{where}.value", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The specified option value is already used")
        values.add(value)


def _check_id(one: Json, path: str, seen: set[str]) -> None:
    found = text_of(one, "custom_id", path, 100)
    if found in seen:
        raise form(f"{path}.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
    seen.add(found)


def check_modal(data: Json) -> None:
    """Refuse what is no modal: one to five texts to write, each in a row of its own or in a label."""
    text_of(data, "custom_id", "data", 100)
    text_of(data, "title", "data", 45)
    seen: set[str] = set()
    for at, row in enumerate(listed(data, "components", "data", 5, least=1)):
        path = f"data.components.{at}"
        labelled = row.get("type") == 18
        if labelled:
            text_of(row, "label", path, 45)
            text_of(row, "description", path, 100, needed=False)
            inside = cast("Json", row.get("component") or {})
        elif row.get("type") == 1:
            (inside,) = listed(row, "components", path, 1, least=1)
            text_of(inside, "label", f"{path}.components.0", 45)
        else:
            raise form(f"{path}.type", "UNION_TYPE_CHOICES", "Value of field 'type' must be one of (1, 18).")
        if labelled and inside.get("type") in _SELECTS:
            _check_select(inside, f"{path}.component", seen)
        else:
            _check_input(inside, path, seen)


def _check_input(one: Json, path: str, seen: set[str]) -> None:
    if one.get("type") != 4:
        raise form(f"{path}.type", "UNION_TYPE_CHOICES", "Value of field 'type' must be one of (4,).")
    _check_id(one, path, seen)
    if one.get("style") not in {1, 2}:
        raise form(f"{path}.style", "BASE_TYPE_CHOICES", "Value must be one of {1, 2}.")
    text_of(one, "placeholder", path, 100, least=0, needed=False)
    text_of(one, "value", path, 4000, least=0, needed=False)
    for name, floor in (("min_length", 0), ("max_length", 1)):
        if not floor <= int(one.get(name, 1)) <= 4000:
            raise form(f"{path}.{name}", "NUMBER_TYPE_RANGE", f"int value should be between {floor} and 4000.")


def check_choices(data: Json) -> None:
    """Refuse what is no answer to an autocompletion."""
    for at, one in enumerate(listed(data, "choices", "data", 25)):
        path = f"data.choices.{at}"
        text_of(one, "name", path, 100)
        value = one.get("value")
        if isinstance(value, str):
            text_of(one, "value", path, 100)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise form(f"{path}.value", "BASE_TYPE_REQUIRED", "This field is required")
