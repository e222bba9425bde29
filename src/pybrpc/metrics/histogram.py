"""Histogram: how often values of each size were recorded, in log-linear buckets.

The buckets are those of HdrHistogram, with 16 for each power of two: 0, 1, 2, ... 32, then two
numbers each up to 64, four each up to 128, and so on. An upper bound is inclusive, and each power
of two is one, so cumulative counts at these are exact. The middle of a bucket differs by at most
1/32 (3.2 %) from each value in it. There are 961 buckets up to 2**63, and unused ones take no room.

C++ bRPC keeps random samples instead (bvar/detail/percentile.h). Samples of several processes can't
be merged exactly; buckets are just added.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pybrpc.metrics.numbers import MAX_INT

SUB_BUCKETS = 16
MAX_BUCKETS = 961
MAX_RELATIVE_ERROR = 1 / 32


def bucket_of(value: int) -> int:
    """The bucket of `value`: 0 to 960. Negative ones count as 0, too large ones as 2**63."""
    if value <= 32:
        return value if value > 0 else 0
    below = min(value, MAX_INT) - 1
    shift = below.bit_length() - 5
    return SUB_BUCKETS * shift + (below >> shift) + 1


def upper_bound(bucket: int) -> int:
    """The largest value in the bucket."""
    if bucket <= 32:
        return bucket
    shift, place = divmod(bucket - 1 - SUB_BUCKETS, SUB_BUCKETS)
    return (SUB_BUCKETS + place + 1) << shift


def middle_of(bucket: int) -> int:
    """The value that represents the bucket: not more than 1/32 from each of its values."""
    if bucket <= 32:
        return bucket
    return (upper_bound(bucket - 1) + 1 + upper_bound(bucket)) // 2


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values by bucket, and their sum. Immutable; `+` merges, `-` takes out what an
    earlier state of the same recorder had."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    """The number of values in each bucket that has some, by the number of the bucket."""
    total: int = 0
    """The sum of all values."""

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.buckets.values())

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(added(self.buckets, other.buckets), self.total + other.total)

    def __sub__(self, other: Histogram) -> Histogram:
        buckets = taken_out(self.buckets, other.buckets)
        return Histogram(buckets, self.total - other.total)

    def get_number(self, ratio: float) -> int:
        """The value that `ratio` (0 to 1) of all values don't exceed, within 3.2 %; 0 if there are
        none."""
        return Ranking(self.buckets).get_number(ratio)

    def count_up_to(self, bounds: list[int]) -> list[int]:
        """How many values are at most each of the ascending `bounds`. Exact if the bounds are upper
        bounds of buckets."""
        left = sorted(self.buckets.items(), reverse=True)
        counts = []
        so_far = 0
        for bound in bounds:
            last = bucket_of(bound)
            while left and left[-1][0] <= last:
                so_far += left.pop()[1]
            counts.append(so_far)
        return counts


class Ranking:
    """Buckets in order, for several questions to the same histogram."""

    __slots__ = ("_cumulated", "_numbers", "_total", "maximum")

    def __init__(self, buckets: Mapping[int, int], maximum: int | None = None) -> None:
        self._numbers: list[int] = []
        self._cumulated: list[int] = []
        self._total = 0
        self.maximum = maximum
        """The largest value, if known: no answer exceeds it."""
        for bucket, count in sorted(buckets.items()):
            self._total += count
            self._numbers.append(bucket)
            self._cumulated.append(self._total)

    def get_number(self, ratio: float) -> int:
        """See `Histogram.get_number`."""
        if not 0 <= ratio <= 1:
            raise ValueError(f"a ratio is 0 to 1, not {ratio}")
        if not self._total:
            return 0
        rank = max(math.ceil(ratio * self._total), 1)
        number = middle_of(self._numbers[bisect.bisect_left(self._cumulated, rank)])
        return number if self.maximum is None else min(number, self.maximum)


def added(buckets: Mapping[int, int], more: Mapping[int, int]) -> dict[int, int]:
    """The sums of both."""
    result = dict(buckets)
    for bucket, count in more.items():
        result[bucket] = result.get(bucket, 0) + count
    return result


def taken_out(buckets: Mapping[int, int], part: Mapping[int, int]) -> dict[int, int]:
    """`buckets` less `part`, without those that are empty then."""
    result = dict(buckets)
    for bucket, count in part.items():
        left = result.get(bucket, 0) - count
        if left > 0:
            result[bucket] = left
        else:
            result.pop(bucket, None)
    return result


def _first_buckets(count: int) -> tuple[int, ...]:
    """`bucket_of` of the values from 0 up to `count`, at a time for each bucket, not each value:
    it is made at import."""
    table: list[int] = []
    bucket = 0
    while len(table) < count:
        table += [bucket] * (upper_bound(bucket) + 1 - len(table))
        bucket += 1
    return tuple(table[:count])


_BUCKETS = _first_buckets(4096)
"""Those of small values, for `buckets_of`."""


def buckets_of(values: list[int], largest: int) -> dict[int, int]:
    """The buckets of `values`, none of which is negative or above `largest`. It counts in C:
    buckets of small values, else the values themselves first, many of which are equal."""
    if largest < len(_BUCKETS):
        return dict(Counter(map(_BUCKETS.__getitem__, values)))
    result: dict[int, int] = {}
    for value, count in Counter(values).items():
        bucket = bucket_of(value)
        result[bucket] = result.get(bucket, 0) + count
    return result
