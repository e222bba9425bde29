"""Signal handlers that raise, as that of Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator


class Interrupted(Exception):
    """Raised by the handler of SIGALRM."""


@contextlib.contextmanager
def raising_alarms() -> Iterator[None]:
    """SIGALRM raises Interrupted, wherever it strikes the main thread."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def storm(work: Callable[[], None], strokes: int) -> None:
    """Run `work` again and again while a signal interrupts it wherever it happens to be."""
    interrupted = 0
    delay_s = 20e-6
    while interrupted < strokes:
        try:
            signal.setitimer(signal.ITIMER_REAL, delay_s)
            work()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            interrupted += 1
        delay_s = 20e-6 + (delay_s * 1.07) % 400e-6
