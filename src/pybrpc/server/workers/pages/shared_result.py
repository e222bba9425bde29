"""SharedResult: long work is done once for all threads that ask for it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedResult(Generic[T]):
    """Makes a result in the first thread that asks; threads that ask before it is made get the
    same one. Any thread."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._running: Future[T] | None = None

    def get(self) -> T:
        """The result; or what `make` raises. Blocks as long as that does."""
        with self._lock:
            running = self._running
            if running is None:
                made = self._running = Future()
        if running is not None:
            return running.result()
        try:
            result = self._make()
        except BaseException as error:
            self._end()
            made.set_exception(error)
            raise
        self._end()
        made.set_result(result)
        return result

    def _end(self) -> None:
        """A thread that asks from now on gets a new one."""
        with self._lock:
            self._running = None
