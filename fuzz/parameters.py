"""Parameters: the numbers at the front of an input, and the bytes behind them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

WHOLE, BYTEWISE = 0, 1
MOST_PIECES = 40


class Parameters:
    """Takes an input apart, from its front. What is not there any more is zero, or empty."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def number(self, size_bytes: int = 1) -> int:
        return int.from_bytes(self.some(size_bytes), "little")

    def signed(self, size_bytes: int) -> int:
        return int.from_bytes(self.some(size_bytes), "little", signed=True)

    def flag(self) -> bool:
        return bool(self.number() & 1)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.number() % len(choices)]

    def some(self, size_bytes: int) -> bytes:
        taken, self._data = self._data[:size_bytes], self._data[size_bytes:]
        return taken

    def short_bytes(self) -> bytes:
        """A length in one byte, and so many."""
        return self.some(self.number())

    def text(self) -> str:
        """Any text, also such that has no UTF-8."""
        return self.short_bytes().decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        return self.some(len(self._data))


def pieces_of(stream: bytes, plan: int) -> list[bytes]:
    """`stream`, cut as the number `plan` says: WHOLE, BYTEWISE (its start), or anyhow."""
    if plan == WHOLE:
        return [stream]
    if plan == BYTEWISE:
        cuts = list(range(min(len(stream), 8 * MOST_PIECES)))
    else:
        rng = random.Random(plan)
        cuts = sorted(rng.randint(0, len(stream)) for _ in range(rng.randint(1, MOST_PIECES)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
