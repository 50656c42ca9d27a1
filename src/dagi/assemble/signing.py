"""The key that signs grants between services: made once, kept in the data directory, readable by its owner alone. Beside it stands the
public one, which is all that the services need that check them.
"""

import secrets
from collections.abc import Callable
from pathlib import Path

from dagi.access.signed import Audience, Signer, Verifier
from dagi.assemble.installation import Installation, write_private
from dagi.errors import ConfigError

SEED_BYTES = 32


def grant_signer(installation: Installation) -> Signer:
    """The installation's signer; its key is made where there is none.

    Raises:
        ConfigError: the key's file cannot be read, is not a key, or is open to others.
    """
    path = installation.data_dir / "keys" / "grant.key"
    try:
        if not path.exists():
            write_private(path, secrets.token_bytes(SEED_BYTES))
        seed, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"The key that signs grants ({path}) cannot be used: {error.strerror}.") from error
    if len(seed) != SEED_BYTES or mode & 0o077:
        what = "others may read it" if mode & 0o077 else "it is not a key"
        raise ConfigError(f"The key that signs grants ({path}) cannot be used: {what}. Remove it, and the next start makes another one.")
    signer = Signer(seed)
    _publish(installation, signer.public_key)
    return signer


def _publish(installation: Installation, key: bytes) -> None:
    path = _public(installation)
    try:
        if not path.exists() or path.read_text(encoding="ascii", errors="replace").strip() != key.hex():
            write_private(path, key.hex().encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"The public key for grants ({path}) cannot be written: {error.strerror}.") from error


def grant_verifier(installation: Installation, audience: Audience) -> Callable[[], Verifier | None]:
    """Gives what checks grants for a service, as soon as the public key is there; the seed is never read."""
    found: list[Verifier] = []

    def verifier() -> Verifier | None:
        if not found:
            try:
                found.append(Verifier(bytes.fromhex(_public(installation).read_text(encoding="ascii")), audience))
            except (OSError, ValueError):
                return None
        return found[0]

    return verifier


def _public(installation: Installation) -> Path:
    return installation.data_dir / "keys" / "grant.pub"
