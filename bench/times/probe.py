"""Probe: a thread that calls all the time, and notes how long its calls take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

PAUSE_S = 0.001


class Probe:
    """Inside `with` it calls `call()`, again and again. `longest_ms` is since `begin`.

    An error of a call ends it, and is raised at the end.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._over = threading.Event()
        self._longest_s = 0.0
        self._started_at = 0.0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def begin(self) -> None:
        """Forget the calls so far."""
        self._longest_s = 0.0

    @property
    def longest_ms(self) -> float:
        """The longest call, the one that is in flight among them."""
        started_at = self._started_at
        in_flight_s = time.monotonic() - started_at if started_at else 0.0
        return max(self._longest_s, in_flight_s) * 1000

    def __enter__(self) -> Self:
        self._call()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not self._over.wait(PAUSE_S):
            started_at = self._started_at = time.monotonic()
            try:
                self._call()
            except Exception as error:
                self._error = error
                return
            self._started_at = 0.0
            self._longest_s = max(self._longest_s, time.monotonic() - started_at)
