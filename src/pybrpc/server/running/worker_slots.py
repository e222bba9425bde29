"""WorkerSlots: how many handlers run at once, and which worker is at the queue."""

from __future__ import annotations

from pybrpc.base.atomic import atomic_counter


class WorkerSlots:
    """Shared by the workers and the thread that runs calls inline. Any thread."""

    __slots__ = ("_taken", "active_worker", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        """Handlers that may run at once."""
        self._taken = atomic_counter()
        self.active_worker: object | None = None
        """The worker that was woken last to empty the queue, until it finds the queue empty."""

    def has_room(self) -> bool:
        """Whether one more handler may run."""
        return self._taken.get() < self.most

    def try_take(self) -> bool:
        """Count one more thread that runs handlers. False if there are as many as are allowed."""
        if self._taken.increment_and_get(1) <= self.most:
            return True
        self._taken.decrement_and_get(1)
        return False

    def release(self) -> None:
        self._taken.decrement_and_get(1)

    def taken(self) -> int:
        """Number of threads that run handlers, or wait for more."""
        return self._taken.get()

    def __repr__(self) -> str:
        return f"<WorkerSlots, {self.taken()} of {self.most} taken>"
