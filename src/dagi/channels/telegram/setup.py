"""What a bot's owner sets up at Telegram: where updates go, which commands are offered."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from dagi.catalogue import LANGUAGES, say
from dagi.channels.telegram.api import Api
from dagi.channels.telegram.updates import ALLOWED


class WebhookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """See https://core.telegram.org/bots/api#webhookinfo. `last_error_date` is in seconds since 1970."""

    url: str = ""
    pending_update_count: int = 0
    last_error_date: Annotated[int, msgspec.Meta(ge=0, le=2**33)] = 0
    last_error_message: str = ""
    max_connections: int = 0
    ip_address: str = ""
    allowed_updates: Sequence[str] = ()


async def set_webhook(api: Api, url: str, secret: str) -> None:
    """Have updates delivered there, with the secret; those that wait are delivered, too.

    Raises:
        Refusal: Telegram will not.
    """
    asked = {"url": url, "secret_token": secret, "allowed_updates": ALLOWED, "drop_pending_updates": False}
    await api.call("setWebhook", msgspec.json.encode(asked))


async def delete_webhook(api: Api) -> None:
    """Have updates wait until they are fetched.

    Raises:
        Refusal: Telegram will not.
    """
    await api.call("deleteWebhook", b'{"drop_pending_updates": false}')


async def webhook_info(api: Api) -> WebhookInfo:
    """Where updates go, and what went wrong of late.

    Raises:
        Refusal: Telegram will not tell.
    """
    return msgspec.json.decode(await api.call("getWebhookInfo"), type=WebhookInfo)


async def offer_commands(api: Api, names: Sequence[str]) -> None:
    """Have the application offer the commands, in each language we speak; English to everybody else.

    Raises:
        Refusal: Telegram will not.
    """
    for language in LANGUAGES:
        commands = [{"command": name, "description": say(language, f"channel.command.{name}")} for name in names]
        asked: Mapping[str, object] = {"commands": commands, "language_code": language}
        await api.call("setMyCommands", msgspec.json.encode(asked))
        if language == "en":
            await api.call("setMyCommands", msgspec.json.encode({"commands": commands}))
