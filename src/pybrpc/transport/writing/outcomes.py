"""Running the callbacks of outcomes: user code runs here, never while a write right is held.

A callback may write again, and that write may end at once, with an outcome of its own. Its callback
is not called inside the first one but by the loop that called that, so a chain of a million writes
needs one stack frame. Each thread has its own list: a signal handler or destructor that writes
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
"""A callback and its argument."""


class _ThreadOutcomes(threading.local):
    def __init__(self) -> None:
        self.waiting: deque[PendingOutcome] = deque()
        self.is_running = False


_local = _ThreadOutcomes()


def run_outcomes(outcomes: list[PendingOutcome]) -> None:
    """Call each `function(argument)`: now, or, inside such a callback, right after it.

    An Exception of a callback is logged and does not reach the caller. KeyboardInterrupt and the
    like do, after the other callbacks have been called.
    """
    local = _local
    interruption: BaseException | None = None
    local.waiting.extend(outcomes)
    # Checked again after the flag is reset: a signal handler may have added in between.
    while local.waiting and not local.is_running:
        local.is_running = True
        try:
            _run_waiting(local.waiting)
        except BaseException as raised:
            interruption = raised
        finally:
            local.is_running = False
    if interruption is not None:
        raise interruption


def _run_waiting(waiting: deque[PendingOutcome]) -> None:
    while waiting:
        function, argument = waiting.popleft()
        try:
            function(argument)
        except Exception:
            logger.exception("a callback of a connection raised")
