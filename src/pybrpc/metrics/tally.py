"""tally_of: sum, maximum and buckets of some values, for a fold.

Compiled it is one loop of C for all of that. Plain Python is fastest with functions that are C
themselves, so it has another way there.
"""

from __future__ import annotations

from pybrpc.base.implementation import __impl__
from pybrpc.metrics.histogram import buckets_of
from pybrpc.metrics.numbers import MAX_INT

IS_COMPILED = __impl__ == "compiled"


class Tally:
    """Sum, maximum, number, number by bucket. Values below 0 count as 0, those above 2**63 - 1 as
    that."""

    __slots__ = ("buckets", "count", "largest", "total")

    def __init__(self, total: int, largest: int, count: int, buckets: dict[int, int]) -> None:
        self.total = total
        self.largest = largest
        self.count = count
        self.buckets = buckets


def tally_of(values: list[int]) -> Tally:
    """The tally of one value or more."""
    if IS_COMPILED:
        tally = tally_of_usual(values)
        if tally is not None:
            return tally
    largest, smallest = max(values), min(values)
    if smallest < 0 or largest > MAX_INT:
        values = [min(max(value, 0), MAX_INT) for value in values]
        largest = max(values)
    return Tally(sum(values), largest, len(values), buckets_of(values, largest))


def tally_of_usual(values: list[int]) -> Tally | None:
    """`tally_of`, if no value is negative, or is 2**40 or more; else `None`."""
    total = largest = 0
    counts = [0] * 961  # MAX_BUCKETS
    try:
        for value in values:
            if value >> 40:  # negative ones too
                return None
            total += value
            if value > largest:
                largest = value
            bucket = value
            if value > 32:  # as `histogram.bucket_of`
                bucket = value - 1
                shift = 0
                while bucket >= 0x2000:
                    bucket >>= 8
                    shift += 8
                while bucket >= 32:
                    bucket >>= 1
                    shift += 1
                bucket += 16 * shift + 1
            counts[bucket] += 1
    except OverflowError:  # compiled: a value has more than 64 bits
        return None
    buckets: dict[int, int] = {}
    for bucket in range(961):
        if counts[bucket]:
            buckets[bucket] = counts[bucket]
    return Tally(total, largest, len(values), buckets)
