"""What the configuration says about chains and about the platforms where people have accounts, with the secrets it leads to."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import msgspec

from dagi.chain.rpc import Node
from dagi.config import Loaded, Settings
from dagi.errors import ConfigError
from dagi.ports.secrets import shown


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """Chains and platforms. A secret that is not set leaves its part off.

    Attributes:
        notes: what is off because of that, one line each.
    """

    nodes: tuple[Node, ...] = ()
    telegram_token: str | None = None
    discord_secret: str | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return shown(self, "telegram_token", "discord_secret")


def read_outside(loaded: Loaded) -> Outside:
    """Read it.

    Raises:
        ConfigError: with every mistake, at file and line.
    """
    settings = loaded.settings
    mistakes = [*_twice(settings)]
    notes: list[str] = []

    def secret(path: str, section: Mapping[str, object], key: str) -> str | None:
        try:
            found = loaded.environment.secret({name: value for name, value in section.items() if name != key}, key)
        except ConfigError as error:
            mistakes.append((path, error.message))
            return None
        where = section.get(f"{key}_file") or section.get(f"{key}_env")
        if found is None and where is not None:
            notes.append(f"{path}: off, for {where} ({key}) is not set")
        return found

    nodes: list[Node] = []
    for index, chain in enumerate(settings.chains):
        path = f"chains[{index}]"
        if chain.rpc_url is None and chain.rpc_url_env is None and chain.rpc_url_file is None:
            mistakes.append((path, "missing rpc_url; write the address of a node, or rpc_url_env: NAME_OF_A_VARIABLE"))
            continue
        url = secret(path, chain.model_dump(), "rpc_url") or chain.rpc_url
        if url is not None:
            timeout_s = chain.timeout_ms / 1000
            nodes.append(Node(name=chain.name, chain_id=chain.chain_id, url=url, timeout_s=timeout_s, most_at_once=chain.max_batch))
    telegram = secret("identities.telegram", settings.identities.telegram.model_dump(), "bot_token")
    discord = secret("identities.discord", settings.identities.discord.model_dump(), "client_secret")
    if settings.identities.siwe.domain is not None and find_spec("eth_keys") is None:
        notes.append("identities.siwe: off, for what reads wallets' signatures is not installed: pip install 'dagi-stack[wallets]'")
    if mistakes:
        raise loaded.origins.error(mistakes)
    return Outside(nodes=tuple(nodes), telegram_token=telegram, discord_secret=discord, notes=tuple(notes))


def _twice(settings: Settings) -> Sequence[tuple[str, str]]:
    first: dict[int, str] = {}
    found: list[tuple[str, str]] = []
    for index, chain in enumerate(settings.chains):
        other = first.setdefault(chain.chain_id, chain.name)
        if other != chain.name:
            found.append((f"chains[{index}].chain_id", f"is that of {other}, too; a chain has one node here"))
    return found
