"""What goes on beside the answers: text grows old and is removed, long conversations are put into few words."""

import secrets
from collections.abc import Coroutine

from dagi.config.schema import Settings
from dagi.dialogs.summaries import Summarist
from dagi.errors import DagiError
from dagi.message import Message
from dagi.router import Router
from dagi.stores.database import Database
from dagi.stores.exchanges import ExchangeStore
from dagi.stores.retention import Retention
from dagi.stores.summaries import SqlSummaries


def dialog_work(settings: Settings, database: Database, dialogs: ExchangeStore, router: Router) -> dict[str, Coroutine[None, None, None]]:
    """Keeping to the retention and writing summaries, each for ever."""
    observer, clock = router.ports.observer, router.ports.clock
    retention = Retention(database, observer, clock, days=settings.retention.dialogs_days)
    summarist = Summarist(
        SqlSummaries(database),
        observer,
        clock,
        can=lambda message: can_write(router, message),
        exchange=router.exchange,
        ask=router.answer,
        history_tokens=settings.dialogs.history_tokens,
        new_id=lambda: secrets.token_hex(16),
    )
    return {"retention": retention.follow(), "summaries": summarist.follow(dialogs.overflowing)}


def can_write(router: Router, message: Message) -> bool:
    """Whether the message would reach a target now that finds words of its own."""
    try:
        policy, grant = router.policy, router.grant(message)
        rule = policy.rules.choose(message, grant)
        targets = policy.targets.describe(rule.chain(message, policy.targets.selectable()))
    except DagiError:
        return False
    return any(target.writes and target.state in {"closed", "half_open"} for target in targets)
