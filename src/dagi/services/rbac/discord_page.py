"""The page Discord sends people back to: plain, without a script, in their browser's language."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final
from urllib.parse import parse_qsl

from dagi.catalogue import LANGUAGES, say
from dagi.errors import DagiError, Gone, Misconfigured, Missing, OutsideFailure
from dagi.ports.identities import Linking
from dagi.services.errors import status_of
from dagi.services.face import Answer, Headers, Request

# Readable on a telephone, by day and by night; the code in one piece when it is touched.
_STYLE: Final = (
    ":root{color-scheme:light dark}body{max-width:34rem;margin:2rem auto;padding:0 1rem;font:1.05rem/1.5 system-ui,sans-serif}"
    "h1{font-size:1.4rem}code{display:block;padding:.8rem;border:1px solid;border-radius:.4rem;font-size:1.1rem;text-align:center;"
    "user-select:all;overflow-wrap:anywhere}"
)
# Nothing but this very style: no script, no other style, nothing from anywhere.
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final[Headers] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]
_FIELDS: Final = 10
_LONGEST: Final = 2_000


async def callback(request: Request, linking: Linking) -> Answer:
    """Finish what was begun, and say what happened. Whatever goes wrong is a page, too: a person reads it."""
    language = _language(request.headers.get(b"accept-language", b""))
    values = _values(request.query)
    try:
        found = await linking.finish_discord(values.get("state", ""), values.get("code", ""))
    except DagiError as error:
        return _page(language, [escape(say(language, _said_of(error)))], status_of(error))
    lines = [
        escape(say(language, "page.proved", account=found.account, begun_at=found.begun_at)),
        f"<code>{escape(found.code)}</code>",
        escape(say(language, "page.until", until=f"{found.expires_at:%Y-%m-%d %H:%M}")),
        f"<strong>{escape(say(language, 'page.warning', begun_at=found.begun_at))}</strong>",
    ]
    return _page(language, lines, 200)


def _said_of(error: DagiError) -> str:
    match error:
        case Gone() | Missing():
            return "page.over"
        case Misconfigured():
            return "page.misconfigured"
        case OutsideFailure():
            return "page.outside"
        case _:
            return "page.refused"


def _values(query: bytes) -> dict[str, str]:
    """The first of each parameter; nothing where the query cannot be read. Discord may add what we do not know."""
    try:
        pairs = parse_qsl(query[:_LONGEST].decode("ascii"), max_num_fields=_FIELDS, errors="strict")
    except ValueError:
        return {}
    return dict(reversed(pairs))


def _language(accepted: bytes) -> str:
    """The first language of the header that the catalogue has."""
    for part in accepted.decode("latin-1").lower().split(",")[:_FIELDS]:
        name = part.strip()[:2]
        if name in LANGUAGES:
            return name
    return "en"


def _page(language: str, lines: list[str], status: int) -> Answer:
    title = escape(say(language, "page.title"))
    text = "".join(f"<p>{line}</p>" for line in lines)
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{text}</body></html>"
    )
    return Answer(status=status, headers=[*_HEADERS], body=page.encode())
