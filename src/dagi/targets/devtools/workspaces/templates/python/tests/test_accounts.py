from decimal import Decimal

import pytest

from treasury import Treasury
from treasury.accounts import NotEnough


@pytest.fixture
def treasury() -> Treasury:
    filled = Treasury()
    filled.receive("gardens", Decimal(100))
    return filled


def test_what_is_received_is_there(treasury: Treasury) -> None:
    assert treasury.receive("gardens", Decimal(50)) == Decimal(150)


def test_the_reserve_cannot_be_spent(treasury: Treasury) -> None:
    assert treasury.spend("gardens", Decimal(80)) == Decimal(20)
    with pytest.raises(NotEnough):
        treasury.spend("gardens", Decimal(20))


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_is_no_amount(treasury: Treasury, amount: int) -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        treasury.receive("gardens", Decimal(amount))
