"""How a mistake is told: file, line, key, what is wrong, what is allowed, what was probably meant. One line each."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence

import msgspec

from dagi.config.marks import KeyPath, Mark, dotted
from dagi.errors import ConfigError

_SHOWN = 60
_MAX_LINES = 50
_CUTOFF = 0.6

_SECRET_KEY = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|token|secret|password|passwd|pwd|authorization|credentials?|dsn|cookie)\Z|[_-]key\Z",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"://\S*@")
_QUERY_SECRET = re.compile(r"([?&][^=&\s]*(?:key|token|secret|password|passwd)=)[^&\s]+", re.IGNORECASE)


class Mistake(msgspec.Struct, frozen=True):
    """One thing the operator has to change."""

    mark: Mark
    path: KeyPath
    message: str

    def __str__(self) -> str:
        return line(self.mark, dotted(self.path), self.message)


def line(mark: Mark, path: str, message: str) -> str:
    """The one format: `config/profiles/dev.yml:12 llm_providers[0].typ: unknown key; …`."""
    return f"{mark} {path}: {message}" if path else f"{mark}: {message}"


def refusal(lines: Sequence[str]) -> ConfigError:
    """One error that tells all mistakes; beyond what anybody reads at once it tells their number."""
    shown = list(dict.fromkeys(lines))
    hidden = len(shown) - _MAX_LINES
    if hidden > 0:
        shown = [*shown[:_MAX_LINES], f"… and {hidden} more mistakes"]
    return ConfigError("\n".join(shown), mistakes=shown)


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that was probably meant."""
    folded = {name.casefold(): name for name in allowed}
    target = word.casefold()
    close = difflib.get_close_matches(target, folded, n=1, cutoff=_CUTOFF)
    if close:
        return folded[close[0]]
    # `prod` for `production` is too short for a similarity, and still plain.
    related = [name for key, name in folded.items() if target and (key.startswith(target) or target.startswith(key))]
    return related[0] if len(related) == 1 else None


def choice(word: str, allowed: Iterable[str]) -> str:
    """`did you mean "x"? Allowed: …`, for whatever has a closed list of words."""
    names = sorted(allowed)
    meant = nearest(word, names)
    hint = f'did you mean "{meant}"? ' if meant else ""
    return f"{hint}Allowed: {', '.join(names)}"


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """The sentence about a key nobody reads."""
    return f"unknown key; {choice(key, allowed)}"


def is_secret_name(name: str) -> bool:
    """Whether a key or variable of that name holds a secret. `max_tokens` and `api_key_env` do not."""
    return _SECRET_KEY.search(name) is not None


def redacted(text: str, path: KeyPath, mark: Mark) -> str:
    """The text without any secret in it, judged by its key, by the variables it came from, and by its form."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if text and (is_secret_name(key) or any(is_secret_name(name) for name in mark.variables)):
        return "***"
    return _QUERY_SECRET.sub(r"\1***", _USERINFO.sub("://***@", text))


def described(value: object, path: KeyPath, mark: Mark) -> str:
    """A found value in words that fit on one line and give no secret away."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            text = redacted(value, path, mark)
            short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            return json.dumps(short, ensure_ascii=not short.isprintable())
        case dict():
            return "a mapping"
        case _:
            return "a list"
