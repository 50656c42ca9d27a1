"""How fast messages are sent, held against what Telegram takes (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this)."""

import pytest

from dagi.channels.pacing import Pace
from dagi.channels.telegram.turns import BOT_BURST, CHAT_BURST, GROUP_BURST, PER_BOT, PER_CHAT, PER_GROUP
from dagi.testing.telegram_rules import Limits


def turns(pace: Pace, number: int) -> list[float]:
    """When somebody who waits for nothing else gets so many turns."""
    now, found = 0.0, list[float]()
    while len(found) < number:
        now += pace.wait("x", now)
        pace.take("x", now)
        found.append(now)
    return found


@pytest.mark.parametrize(
    ("per_second", "burst", "most", "seconds"),
    [(PER_GROUP, GROUP_BURST, 20, 60.0), (PER_BOT, BOT_BURST, 30, 1.0), (PER_CHAT, CHAT_BURST, 8, 5.0)],
)
def test_no_window_of_time_holds_more_than_telegram_takes_bursts_included(per_second: float, burst: int, most: int, seconds: float) -> None:
    at = turns(Pace(per_second, burst), 200)
    assert at[:burst] == [0.0] * burst
    assert max(sum(1 for later in at if one <= later < one + seconds - 1e-6) for one in at) <= most


def test_a_group_that_is_written_to_without_end_is_never_too_much_for_the_server() -> None:
    now = [0.0]
    limits = Limits(lambda: now[0])
    limits.on = True
    for at in turns(Pace(PER_GROUP, GROUP_BURST), 100):
        now[0] = at + 1e-6
        limits.show(-1001)
