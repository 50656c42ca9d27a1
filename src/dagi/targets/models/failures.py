"""What went wrong at a model server, in sentences that may reach the caller."""

import re
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from dagi.errors import ProviderBusy, ProviderError
from dagi.ports.http import HttpFailure
from dagi.targets.models.wire import WireError
from dagi.targets.models.wire.openai_frames import body

# Codes and sentences by which servers say that the conversation does not fit: OpenAI, llama.cpp, vLLM, Ollama.
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context (size|length|window)|prompt is too long", re.IGNORECASE
)
_KEY_LIKE = re.compile(r"\b(sk|pk|key|gsk|xai|hf|Bearer)[-_ ][\w*.-]{6,}", re.IGNORECASE)
_MAX_QUOTE = 200
_REDIRECTS = range(300, 400)
_CLIENT_ERRORS = range(400, 500)
_MAX_PATIENCE_S = 3600.0


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Turns what went wrong into errors that name the provider and hold no secret.

    Attributes:
        provider: the target's name in the configuration.
        api_key: never shown, should the upstream quote it.
        now: the wall clock, for a Retry-After that is a date.
    """

    provider: str
    api_key: str | None
    now: Callable[[], datetime]

    def unreachable(self, failure: HttpFailure) -> ProviderError:
        """No usable answer came."""
        sentence = f"{self.provider} could not be reached: {failure}."
        return ProviderError(sentence, provider=self.provider, unreachable=True) if _never_connected(failure) else self.broken(failure)

    def broken(self, failure: HttpFailure) -> ProviderError:
        """The connection gave way."""
        return ProviderError(f"{self.provider} could not be reached: {failure}.", provider=self.provider)

    def unusable(self, error: WireError) -> ProviderError:
        """An answer came that is none, or that says half-way that it failed."""
        text = self.sanitised(str(error))
        if _TOO_LONG.search(f"{error.code} {text}"):
            return self._too_long(400, text)
        sentence = f"{self.provider} did not give a usable answer: {text}."
        if error.code in {"rate_limit_exceeded", "rate_limit_error"}:
            return ProviderBusy(sentence, provider=self.provider)
        return ProviderError(sentence, provider=self.provider)

    def refused(self, status: int, retry_after: str | None, data: bytes, advice: Callable[[int, str], str]) -> ProviderError:
        """It answered with an HTTP error.

        Args:
            retry_after: the header of that name: seconds or a date.
            data: the body; of it only a short message is quoted.
            advice: gives a sentence about what to do for the status and that message, or nothing.
        """
        error = _fault(data)
        said = self.sanitised(str(error)) if error is not None else ""
        if status in _CLIENT_ERRORS and error is not None and _TOO_LONG.search(f"{error.code} {error}"):
            return self._too_long(status, said)
        reason = f": {said}" if said else ""
        sentence = f"{self.provider} answered with HTTP {status}{reason}. {advice(status, said)}".rstrip()
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            patience = self._patience(retry_after)
            facts = {} if patience is None else {"retry_after_s": patience}
            return ProviderBusy(sentence, provider=self.provider, **facts)
        if status in _REDIRECTS:
            # It will be the same the next time, so it is a mistake in the configuration and not a matter of health.
            sentence = f"{self.provider} answered with a redirect (HTTP {status}). Correct its base_url."
        return ProviderError(sentence, provider=self.provider, upstream_status=status)

    def sanitised(self, text: str) -> str:
        """At most 200 printable characters of a text from outside, on one line and without anything that looks like a key."""
        if self.api_key:
            text = text.replace(self.api_key, "[key]")
        text = _KEY_LIKE.sub("[key]", text)
        text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split()).rstrip(".")
        return text if len(text) <= _MAX_QUOTE else f"{text[: _MAX_QUOTE - 1]}…"

    def _too_long(self, status: int, said: str) -> ProviderError:
        return ProviderError(
            f"The conversation is longer than {self.provider} can read: {said}. Shorten it or choose a model with a larger context.",
            provider=self.provider,
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


def _fault(data: bytes) -> WireError | None:
    try:
        error = body(data).fault()
    except WireError:
        return None
    return error
