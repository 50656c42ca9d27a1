"""Timing of calls inside this process."""

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TypeVar

from figures import Spread

T = TypeVar("T")
Batch = Callable[[], None]


def over(call: Callable[[T], object], arguments: Sequence[T]) -> Batch:
    """A batch: the call with every argument, nothing else in the loop."""

    def batch() -> None:
        for argument in arguments:
            call(argument)

    return batch


def cpu_us(batch: Batch, calls: int) -> float:
    """CPU microseconds of one call in the batch; time in which other programs ran is not counted."""
    began = time.thread_time_ns()
    batch()
    return (time.thread_time_ns() - began) / calls / 1000


def side_by_side(batches: Sequence[Batch], calls: int, turns: int) -> list[list[float]]:
    """CPU microseconds of a call in each batch, the batches taking turns, so that what slows the machine slows them all."""
    for batch in batches:
        batch()
    measured: list[list[float]] = [[] for _ in batches]
    for _ in range(turns):
        for place, batch in enumerate(batches):
            measured[place].append(cpu_us(batch, calls))
    return measured


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of what was measured in the same turn."""
    return median(one / other for one, other in zip(numerators, denominators, strict=True))


def wall_us(call: Callable[[T], object], arguments: Iterable[T]) -> Spread:
    """Wall microseconds of each call, about 0.1 of them being the measurement itself."""
    clock = time.perf_counter_ns
    taken: list[float] = []
    for argument in arguments:
        began = clock()
        call(argument)
        taken.append((clock() - began) / 1000)
    return Spread.of(taken)
