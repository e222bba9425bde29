"""Callers: tells the threads of a measurement when to stop, and keeps their first error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence


class CallersFailedError(RuntimeError):
    """A call failed; the cause says how."""


class Callers:
    """The measurement asks it to stop; so does a call that failed."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._first_error: Exception | None = None

    def failed(self, error: Exception) -> None:
        self._first_error = self._first_error or error
        self.stop.set()

    def check(self) -> None:
        """CallersFailedError if one has failed."""
        if self._first_error is not None:
            raise CallersFailedError("a call failed") from self._first_error

    def run_threads(
        self, works: Sequence[Callable[[], object]], measure: Callable[[], None]
    ) -> None:
        """Run each of `works` in a thread, `measure` in this one; wait for all."""

        def run(work: Callable[[], object]) -> None:
            try:
                work()
            except Exception as error:
                self.failed(error)

        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        measure()
        for thread in threads:
            thread.join()
        self.check()


def check_answer(answer: object, payload: bytes) -> None:
    """ValueError if `answer`, which has bytes in it, is another than `payload`."""
    if bytes(answer) != payload:  # type: ignore[call-overload]
        raise ValueError(f"the echo of {len(payload)} bytes differs")
