"""PendingOutcome of outcomes: user code runs here, never while a write right is held.

A callback may write again, and that write may end at once, with an outcome of its own. It is not
called from inside the first callback but by the loop that called it, so a chain of a million
writes needs one stack frame. One list per thread: a signal handler or destructor that writes
meanwhile adds to the list of the thread that it interrupted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("pybrpc")

PendingOutcome = tuple[Callable[[Any], None], Any]


class _ThreadDeliveries(threading.local):
    def __init__(self) -> None:
        self.waiting: deque[PendingOutcome] = deque()
        self.is_delivering = False


_local = _ThreadDeliveries()


def run_outcomes(deliveries: list[PendingOutcome]) -> None:
    """Call each `function(argument)`, now or, inside another delivery, right after it.

    What a callback raises is logged and does not reach the caller; only KeyboardInterrupt and
    the like do, once the other callbacks have been called.
    """
    local = _local
    interruption: BaseException | None = None
    local.waiting.extend(deliveries)
    # Looked at again after the flag is down: a signal handler may have added in between.
    while local.waiting and not local.is_delivering:
        local.is_delivering = True
        try:
            _deliver_waiting(local.waiting)
        except BaseException as raised:
            interruption = raised
        finally:
            local.is_delivering = False
    if interruption is not None:
        raise interruption


def _deliver_waiting(waiting: deque[PendingOutcome]) -> None:
    while waiting:
        function, argument = waiting.popleft()
        try:
            function(argument)
        except Exception:
            logger.exception("a callback of a connection raised")
