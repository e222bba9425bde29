"""Threads of tests: how long to wait for them, and functions run in several at once."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable

WAIT_S = 30.0
"""How long a test waits for what must come; it never comes near it."""

UNTIL_S = 120.0
"""How long `wait_until` waits: other processes may be needed, on a machine that others use."""


def in_threads(count: int, function: Callable[[int], object]) -> None:
    """Call function(0), ..., function(count - 1) at once; raise what one of them raised."""
    start = threading.Barrier(count)
    raised: list[BaseException] = []

    def run(index: int) -> None:
        try:
            start.wait(WAIT_S)
            function(index)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT_S)
        assert not thread.is_alive(), "a producer hangs"
    if raised:
        raise raised[0]


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once `condition()` holds, which another thread will see to. AssertionError if it never
    does: a test that hangs says nothing."""
    ends_at = time.monotonic() + UNTIL_S
    while not condition():
        threading.Event().wait(0.001)
        assert time.monotonic() < ends_at, f"still not so after {UNTIL_S:g} s: {_source(condition)}"


def _source(condition: Callable[[], bool]) -> str:
    """The text of `condition`, with the values that it looks at."""
    try:
        text = inspect.getsource(condition).strip()
        seen = inspect.getclosurevars(condition).nonlocals
    except (OSError, TypeError, ValueError):
        return repr(condition)
    return f"{text}  # {seen!r}"[:2000]
