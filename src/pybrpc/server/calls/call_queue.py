"""CallQueue: the calls of one connection that wait for their turn."""

from __future__ import annotations

from collections import deque
from typing import Any

from pybrpc.base.flags import OnceFlag


class CallQueue:
    """Filled and emptied by a Scheduler, which describes the steps."""

    __slots__ = ("calls", "is_listed", "left_s")

    def __init__(self) -> None:
        self.calls: deque[Any] = deque()
        self.is_listed = OnceFlag()
        """Whether the Scheduler has it, or a thread that takes a call from it just now."""
        self.left_s = 0.0
        """Seconds that are left of the turn of its connection."""

    def __len__(self) -> int:
        return len(self.calls)

    def __repr__(self) -> str:
        return f"<CallQueue of {len(self.calls)}>"
