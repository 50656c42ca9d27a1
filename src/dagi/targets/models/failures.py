"""What went wrong at a model server: a sentence that may reach the caller, and the whole of it for operators."""

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import cast

import msgspec

from dagi.errors import ProviderBusy, ProviderError, Rejected
from dagi.message import Message
from dagi.ports.http import HttpFailure
from dagi.ports.secrets import shown
from dagi.targets.models import rejections
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.openai_frames import body

# Codes and sentences by which servers say that the conversation does not fit: OpenAI, llama.cpp, vLLM, Ollama.
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context (size|length|window)|prompt is too long", re.IGNORECASE
)
_KEY_LIKE = re.compile(r"\b(sk|pk|key|gsk|xai|hf|Bearer)[-_ ][\w*.-]{6,}", re.IGNORECASE)
# A server that complains of a request may echo parts of it, as JSON or in quotation marks. Members' words do not belong into a log.
_ECHO = re.compile(r"[\[{](?!key\]|\d{1,4}\]).*|(['\"`])(?:(?!\1).){41,}\1?", re.DOTALL)
_MAX_QUOTE = 200
# So many characters in common are no chance.
_RUN = 10
# What accounts without credit are told: DeepSeek by its status, OpenAI by a code under 429, where waiting would not help.
_NO_CREDIT = frozenset({"insufficient_quota", "insufficient_balance", "billing_hard_limit_reached"})
CREDIT = "Add credit to its account at the vendor, or set the key of another account."
_REDIRECTS = range(300, 400)
_CLIENT_ERRORS = range(400, 500)
_MAX_PATIENCE_S = 3600.0


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Turns what went wrong into errors that hold no secret. The message names the provider and how it failed; addresses, advice and what
    the server said are in the detail.

    Attributes:
        provider: the target's name in the configuration.
        api_key: never shown, should the upstream quote it.
        now: the wall clock, for a Retry-After that is a date.
    """

    provider: str
    api_key: str | None
    now: Callable[[], datetime]

    def __repr__(self) -> str:
        return shown(self, "api_key")

    def unreachable(self, failure: HttpFailure) -> ProviderError:
        """No usable answer came."""
        return self._gone(failure, {"unreachable": True}) if _never_connected(failure) else self.broken(failure)

    def broken(self, failure: HttpFailure) -> ProviderError:
        """The connection gave way."""
        return self._gone(failure, {})

    def unusable(self, error: WireError) -> ProviderError:
        """An answer came that is none, or that says half-way that it failed."""
        text = self.sanitised(str(error))
        if _TOO_LONG.search(f"{error.code} {error}"):
            return self._too_long(400, text)
        kind = ProviderBusy if error.code in {"rate_limit_exceeded", "rate_limit_error"} else ProviderError
        sentence = f"{self.provider} did not give a usable answer"
        return kind(f"{sentence}.", provider=self.provider, detail=f"{sentence}: {text}.")

    def refused(self, status: int, retry_after: str | None, data: bytes, advice: Callable[[int, str], str]) -> ProviderError:
        """It answered with an HTTP error.

        Args:
            retry_after: the header of that name: seconds or a date.
            data: the body; of it only a short message is quoted, to operators.
            advice: gives a sentence about what to do for the status and that message, or nothing.
        """
        error = _fault(data)
        said = self.sanitised(str(error)) if error is not None else ""
        if status in _CLIENT_ERRORS and error is not None and _TOO_LONG.search(f"{error.code} {error}"):
            return self._too_long(status, said)
        reason = f": {said}" if said else ""
        sentence = f"{self.provider} answered with HTTP {status}."
        detail = f"{self.provider} answered with HTTP {status}{reason}. {advice(status, said)}".rstrip()
        if status == HTTPStatus.PAYMENT_REQUIRED or (error is not None and error.code in _NO_CREDIT):
            sentence = f"{self.provider} has no credit left at its vendor (HTTP {status})."
            detail = f"{sentence.removesuffix('.')}{reason}. {CREDIT}"
            return ProviderError(sentence, provider=self.provider, detail=detail, upstream_status=status)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            patience = self._patience(retry_after)
            facts = {} if patience is None else {"retry_after_s": patience}
            return ProviderBusy(sentence, provider=self.provider, detail=detail, **facts)
        if status == HTTPStatus.UNAUTHORIZED:
            sentence = f"{self.provider} refused our key (HTTP {status})."
        if status in _REDIRECTS:
            # It will be the same the next time, so it is a mistake in the configuration and not a matter of health.
            sentence = f"{self.provider} answered with a redirect (HTTP {status})."
            detail = f"{sentence} Correct its base_url."
        return ProviderError(sentence, provider=self.provider, detail=detail, upstream_status=status)

    def rejected(self, status: int, data: bytes, message: Message, body: bytes) -> Rejected | None:
        """It answered with an HTTP error about something the caller itself has asked for; None for every other error.

        Args:
            data: the error's body; `body`: that of the request.
        """
        fault = _fault(data)
        refusal = rejections.read(data, fault) if status in rejections.STATUSES else None
        if refusal is None or _TOO_LONG.search(f"{refusal.code} {refusal.text}"):
            return None
        field = rejections.field_of(refusal, message)
        if field is None:
            return None
        sentence = f"{self.provider} refuses what {self.sanitised(field)} asks for (HTTP {status})"
        said = self.sanitised(rejections.placeless(refusal.text))
        quote = f": {said}" if said and not _repeats(said, body) else ""
        return Rejected(f"{sentence}{quote}.", provider=self.provider, upstream_status=status, field=field)

    def without_echo(self, error: ProviderError, body: bytes) -> str:
        """The error's detail, or its plain sentence where the detail repeats what was asked: members' words do not belong into a log."""
        return error.message if _repeats(error.detail, body) else error.detail

    def sanitised(self, text: str) -> str:
        """At most 200 printable characters of a text from outside, on one line, without what looks like a key or like the request."""
        if self.api_key:
            text = text.replace(self.api_key, "[key]")
        text = _ECHO.sub("…", _KEY_LIKE.sub("[key]", text))
        text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split()).rstrip(".")
        return text if len(text) <= _MAX_QUOTE else f"{text[: _MAX_QUOTE - 1]}…"

    def _gone(self, failure: HttpFailure, facts: Mapping[str, bool]) -> ProviderError:
        sentence = f"{self.provider} could not be reached"
        return ProviderError(f"{sentence}: {_how(failure)}.", provider=self.provider, detail=f"{sentence}: {failure}.", **facts)

    def _too_long(self, status: int, said: str) -> ProviderError:
        sentence = f"The conversation is longer than {self.provider} can read"
        return ProviderError(
            f"{sentence}. Shorten it or choose a model with a larger context.",
            provider=self.provider,
            detail=f"{sentence}: {said}." if said else "",
            upstream_status=status,
            context_too_long=True,
        )

    def _patience(self, retry_after: str | None) -> float | None:
        if not retry_after:
            return None
        try:
            seconds = float(retry_after)
        except ValueError:
            try:
                when = parsedate_to_datetime(retry_after)
            except ValueError:
                return None
            seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - self.now()).total_seconds()
        # A comparison with "not a number" is false, so it falls to zero here.
        return min(seconds, _MAX_PATIENCE_S) if seconds > 0 else 0.0


def _never_connected(failure: HttpFailure) -> bool:
    """Whether there was not even a connection: refused, no such name, no way there. A timeout is none of these."""
    cause = failure.__cause__
    if isinstance(cause, TimeoutError | ssl.SSLError | ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return False
    return isinstance(cause, OSError | socket.gaierror | UnicodeError)


def _how(failure: HttpFailure) -> str:
    """The failure without the address that its own sentence holds."""
    match failure.__cause__:
        case None:
            return "the connection broke off"
        case TimeoutError():
            return "it did not accept a connection in time"
        case ssl.SSLError():
            return "no secure connection could be made"
        case socket.gaierror() | UnicodeError():
            return "its name could not be resolved"
        case _ if "refused the connection" in str(failure):
            return "it refused the connection"
        case _:
            return "no connection could be made"


def _fault(data: bytes) -> WireError | None:
    try:
        error = body(data).fault()
    except WireError:
        return None
    return error


def _repeats(text: str, body: bytes) -> bool:
    """Whether the text repeats what a request told the model."""
    told, plain = _told(body), _plain(text)
    return any(plain[at : at + _RUN] in told for at in range(max(1, len(plain) - _RUN + 1)))


class _Asked(msgspec.Struct):
    messages: list[object] = []


def _told(body: bytes) -> str:
    """Everything a request told the model, plain."""
    try:
        return _plain(" ".join(_texts(msgspec.json.decode(body, type=_Asked).messages)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _plain(body.decode("utf-8", "replace"))


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        within = cast("dict[str, object]", value).values() if isinstance(value, dict) else cast("list[object]", value)
        for one in within:
            yield from _texts(one)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
