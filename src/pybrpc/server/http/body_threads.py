"""BodyThreads: the threads in which plain generators make responses."""

from __future__ import annotations

import threading
from typing import Protocol

from pybrpc.base.atomic import atomic_counter
from pybrpc.errors import LimitReachedError


class ThreadRunner(Protocol):
    """Runs in such a thread."""

    @property
    def name(self) -> str:
        """The name of the method."""

    def run(self) -> None:
        """In the thread. Must not raise."""


class BodyThreads:
    """Counts the threads of plain generators of one server. Any thread."""

    __slots__ = ("_limit", "_running")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = atomic_counter()

    def start(self, body: ThreadRunner) -> None:
        """Run `body` in a thread. LimitReachedError if there are too many; RuntimeError if none
        can be started."""
        try:
            if self._running.increment_and_get(1) > self._limit:
                text = f"max_workers={self._limit} generators send responses already"
                raise LimitReachedError(text)
            name = f"pybrpc-body-{body.name}"
            thread = threading.Thread(target=self._run, args=(body,), name=name, daemon=True)
            thread.start()
        except BaseException:
            self._running.decrement_and_get(1)
            raise

    def _run(self, body: ThreadRunner) -> None:
        try:
            body.run()
        finally:
            self._running.decrement_and_get(1)

    def __repr__(self) -> str:
        return f"<BodyThreads {self._running.get()} of {self._limit}>"
