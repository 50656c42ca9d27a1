"""Whether a server that speaks OpenAI's chat completions could answer now."""

import msgspec

from dagi.ports.http import HttpFailure, HttpRequest
from dagi.ports.provider import Finding, ProviderTools
from dagi.targets.models.failures import CREDIT
from dagi.targets.models.settings import ModelSettings

_LIST_LIMIT = 4 * 1024 * 1024


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


async def check(name: str, settings: ModelSettings, tools: ProviderTools, *, needs_key: bool) -> tuple[Finding, ...]:
    """Ask for the list of models, which tells reachability, the key and the model at once."""
    if needs_key and not tools.api_key:
        return (Finding(severity="error", what=f"{name} has no API key.", fix=_key_fix(settings)),)
    bearer = {"Authorization": f"Bearer {tools.api_key}"} if tools.api_key else {}
    request = HttpRequest(method="GET", url=f"{settings.base_url}/models", headers={"Accept": "application/json", **bearer})
    try:
        async with tools.http.open(request) as response:
            data = await response.read(_LIST_LIMIT)
    except HttpFailure as failure:
        fix = f"Start the server, or correct base_url ({settings.base_url})."
        return (Finding(severity="error", what=f"{name} could not be reached: {failure}.", fix=fix),)
    match response.status:
        case 200:
            reachable = Finding(severity="ok", what=f"{name} is reachable at {settings.base_url}.")
            named = {"model": settings.model, "embedding_model": settings.embedding_model}
            return (reachable, *(_model(name, model, data, key) for key, model in named.items() if model is not None))
        case 401 | 403:
            return (Finding(severity="error", what=f"{name} does not accept the API key.", fix=_key_fix(settings)),)
        case 402:
            return (Finding(severity="error", what=f"{name} has no credit left at its vendor.", fix=CREDIT),)
        case 404 | 405:
            what = f"{name} is reachable but lists no models, so the model {settings.model} could not be checked."
            return (Finding(severity="warning", what=what, fix="If requests fail with HTTP 404, base_url should probably end with /v1."),)
        case status:
            what = f"{name} answered with HTTP {status} when asked for its models."
            return (Finding(severity="error", what=what, fix="Look at the server's own log."),)


def _model(name: str, model: str, data: bytes, key: str) -> Finding:
    try:
        known = [one.id for one in msgspec.json.decode(data, type=_Models).data]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = f"{name} answers, but not with a list of models."
        return Finding(severity="warning", what=what, fix="Check base_url: another kind of server may be listening there.")
    if model in known:
        return Finding(severity="ok", what=f"{name} has the model {model}.")
    some = ", ".join(sorted(known)[:5]) or "none"
    # A warning only: servers with a single model answer for any name, and gateways list less than they serve.
    return Finding(severity="warning", what=f"{name} does not list the model {model}.", fix=f"Set {key} to one of its own: {some}.")


def _key_fix(settings: ModelSettings) -> str:
    if settings.api_key_file:
        return f"Put a valid key into the file {settings.api_key_file}."
    return f"Set the environment variable {settings.api_key_env or 'named by api_key_env'} to a valid key."
