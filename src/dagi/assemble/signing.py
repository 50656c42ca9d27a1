"""The key that signs grants between services: made once, kept in the data directory, readable by its owner alone."""

import secrets

from dagi.access.signed import Signer
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
    return Signer(seed)
