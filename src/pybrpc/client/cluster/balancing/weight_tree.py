"""WeightTree: weights that change, and draws in proportion to them, both in logarithmic time."""

from __future__ import annotations

from collections.abc import Sequence


class WeightTree:
    """A Fenwick tree. One thread at a time may call `change`; meanwhile any number may draw, and
    then get a weight more or less as it was before or after."""

    __slots__ = ("_highest", "_nodes", "_weights", "total")

    total: float

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights = list(weights)
        self._nodes = [0.0, *weights]
        for place in range(1, len(self._nodes)):
            parent = place + (place & -place)
            if parent < len(self._nodes):
                self._nodes[parent] += self._nodes[place]
        self._highest = 1 << (len(self._weights).bit_length() - 1) if weights else 0
        self.total = sum(weights)

    def weight(self, index: int) -> float:
        """The weight number `index`."""
        return self._weights[index]

    def change(self, index: int, weight: float) -> None:
        """Replace the weight number `index`."""
        difference = weight - self._weights[index]
        self._weights[index] = weight
        self.total += difference
        place = index + 1
        while place < len(self._nodes):
            self._nodes[place] += difference
            place += place & -place

    def find(self, sum_before: float) -> int:
        """The index of the weight at this place on the line of all weights."""
        place = 0
        step = self._highest
        while step:
            following = place + step
            if following < len(self._nodes) and self._nodes[following] <= sum_before:
                place = following
                sum_before -= self._nodes[following]
            step >>= 1
        return min(place, len(self._weights) - 1)
