"""ByteBudget: bytes that all holders together may hold; over it, the largest holder gives up."""

from __future__ import annotations

from typing import Protocol

from pybrpc.base.atomic import atomic_counter

MAX_GIVEN_UP = 64
"""Holders that give up in one step, at most."""


class Holder(Protocol):
    """An object that holds bytes which its peer has sent, such as a stream."""

    @property
    def held_bytes(self) -> int:
        """Bytes that it holds now."""

    def give_up(self) -> None:
        """Drop all that it holds: together the holders hold too much, and it holds most."""


class ByteBudget:
    """A count of bytes with a limit. Any thread; takes no lock."""

    __slots__ = ("_held", "_holders", "limit_bytes")

    def __init__(self, limit_bytes: int | None) -> None:
        """`limit_bytes`: `None` for no limit; may be changed later."""
        self._held = atomic_counter()
        self._holders: dict[Holder, None] = {}
        self.limit_bytes = limit_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes that all holders hold now."""
        return self._held.get()

    @property
    def holders(self) -> int:
        """How many have entered and not left."""
        return len(self._holders)

    def enter(self, holder: Holder) -> None:
        """Count what `holder` will hold."""
        self._holders[holder] = None

    def leave(self, holder: Holder) -> None:
        """`holder` holds nothing any more."""
        self._holders.pop(holder, None)

    def add(self, size: int) -> None:
        """A holder holds `size` bytes more. Over the limit, the largest ones give up. So the
        caller must hold no lock that `give_up` needs."""
        held = self._held.increment_and_get(size)
        limit_bytes = self.limit_bytes
        if limit_bytes is not None and held > limit_bytes:
            self._shrink(limit_bytes)

    def remove(self, size: int) -> None:
        """A holder holds `size` bytes less."""
        self._held.decrement_and_get(size)

    def _shrink(self, limit_bytes: int) -> None:
        for _ in range(MAX_GIVEN_UP):
            holders = list(self._holders)
            if self._held.get() <= limit_bytes or not holders:
                return
            largest = max(holders, key=lambda holder: holder.held_bytes)
            if not largest.held_bytes:
                return
            largest.give_up()

    def __repr__(self) -> str:
        limit = "no limit" if self.limit_bytes is None else f"of {self.limit_bytes} bytes"
        return f"<ByteBudget {self.held_bytes} {limit}>"
