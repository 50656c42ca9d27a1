"""Who of the platforms works in this installation."""

from collections.abc import Sequence

import msgspec

from dagi.assemble.applications import Applications, read_applications
from dagi.assemble.bots import Bots, read_bots
from dagi.assemble.installation import Installation


class Platforms(msgspec.Struct, frozen=True, kw_only=True):
    """The bots and applications that work here."""

    bots: Bots
    applications: Applications

    @property
    def ways(self) -> tuple[str, ...]:
        """How what people say comes in, for the operator."""
        telegram = [f"fetches from Telegram ({one.settings.name})" for one in self.bots.plans if one.secret is None]
        hooks = [one.settings.name for one in self.bots.plans if one.secret is not None]
        applications = [one.settings.name for one in self.applications.plans]
        return (*_addresses("telegram", hooks), *telegram, *_addresses("discord", applications))

    @property
    def notes(self) -> Sequence[str]:
        """What the operator should hear once."""
        said = (*self.bots.notes, *self.applications.notes)
        if self.bots.plans or self.applications.plans:
            return said
        return (*said, "the gateway hears nobody: no bot works under channels.telegram.bots, no application under channels.discord")


def _addresses(channel: str, names: Sequence[str]) -> Sequence[str]:
    # The address without a name is that of the only one.
    return [f"/{channel}/webhook/{name}" for name in names] if len(names) > 1 else [f"/{channel}/webhook ({name})" for name in names]


def read_platforms(installation: Installation) -> Platforms:
    """Read them, as the configuration and the command line say.

    Raises:
        ConfigError: with every mistake, at file and line.
    """
    poll = installation.choice.poll
    applications = read_applications(installation.loaded) if poll is None else Applications()
    return Platforms(bots=read_bots(installation.loaded, poll), applications=applications)
