"""A signal handler that raises while a Condition is entered."""

from __future__ import annotations

import concurrent.futures
import itertools
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from pybrpc.base.signal_safe_condition import SignalSafeCondition
from pybrpc.client.calls.sync_calls import CallFuture
from tests.fakes.threads import WAIT_S


class Struck(Exception):
    pass


def use(condition: threading.Condition) -> None:
    with condition:
        condition.notify_all()


def is_free(condition: threading.Condition) -> bool:
    """Whether another thread can take its lock."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        def take() -> bool:
            if not condition.acquire(timeout=0.05):
                return False
            condition.release()
            return True

        return pool.submit(take).result(WAIT_S)


def struck_at(strike: int) -> Any:
    """A function for `sys.settrace`, which raises at the beginning or end of a function."""
    events = itertools.count()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_lines = False
        is_inside = frame.f_code.co_name != "use"
        if is_inside and event in ("call", "return") and next(events) == strike:
            raise Struck
        return trace

    return trace


def locks_left(make: Any) -> int:
    """How many locks stay held when an exception strikes where Python runs signal handlers: at the
    beginning of each function, and after it has called one of C."""
    left = 0
    for strike in range(100):
        condition = make()
        before = sys.gettrace()
        sys.settrace(struck_at(strike))
        try:
            use(condition)
        except Struck:
            pass
        else:
            return left
        finally:
            sys.settrace(before)
        left += not is_free(condition)
    raise AssertionError("it never came to its end")


def test_lock_of_a_plain_condition_may_stay_held() -> None:
    assert locks_left(threading.Condition) > 0


@pytest.mark.parametrize("make", [SignalSafeCondition, lambda: CallFuture()._condition])
def test_lock_is_released_wherever_a_signal_handler_raises(make: Any) -> None:
    assert locks_left(make) == 0


def test_condition_waits_and_notifies() -> None:
    condition = SignalSafeCondition()
    is_set = []

    def set_it() -> None:
        with condition:
            is_set.append(True)
            condition.notify()

    thread = threading.Thread(target=set_it)
    with condition:
        thread.start()
        assert condition.wait_for(lambda: is_set, WAIT_S)
    thread.join()
