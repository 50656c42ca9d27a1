"""What a member reads where something did not work: one friendly sentence that says what to do, in their language."""

from collections.abc import Mapping
from math import ceil
from typing import Final

from dagi.catalogue import LANGUAGES, language_of, say
from dagi.catalogue.language import DEFAULT
from dagi.errors import DagiError, RateLimited

_BY_REASON: Final[Mapping[str, str]] = {
    "not_a_member": "channel.not_a_member",
    "suspended": "channel.suspended",
    "dao_suspended": "channel.dao_suspended",
    "expired": "channel.expired",
    "recently_linked": "channel.recently_linked",
    "role_lacks_entitlement": "channel.lacks",
}
_BY_CODE: Final[Mapping[str, str]] = {
    "RATE_LIMITED": "channel.too_many",
    "BUDGET_EXCEEDED": "channel.budget",
    "QUEUE_FULL": "channel.busy",
    "PROVIDER_ERROR": "channel.no_answer",
    "PROVIDER_TIMEOUT": "channel.no_answer",
    "PROVIDER_UNAVAILABLE": "channel.no_answer",
    "NOT_CONFIGURED": "channel.not_configured",
    "NO_ROUTE": "channel.not_configured",
    "ACCESS_UNAVAILABLE": "channel.busy",
    "CONTEXT_TOO_LONG": "channel.too_long",
}


def language(told: str, text: str = "") -> str:
    """The language to speak: that of what was said; without words the one the member's application is set to."""
    if text:
        return language_of(text)
    wanted = told.partition("-")[0].lower()
    return wanted if wanted in LANGUAGES else DEFAULT


def sentence(error: DagiError, tongue: str, *, user_id: str, request_id: str) -> str:
    """What is said in place of an answer; nothing of the error's own words, which are for callers of an API."""
    reason = error.facts.get("reason")
    key = _BY_REASON.get(reason) if isinstance(reason, str) else None
    key = key or _BY_CODE.get(error.code, "channel.internal")
    wait = error.retry_after_s
    if isinstance(error, RateLimited) and wait is not None and wait > 120:
        key = "channel.too_many_today"
    return say(
        tongue,
        key,
        user_id=user_id,
        request_id=request_id,
        entitlement=error.facts.get("required_entitlement", ""),
        seconds=ceil(wait or 1),
        minutes=ceil((wait or 60) / 60),
    )
