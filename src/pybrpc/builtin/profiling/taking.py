"""Taking a profile as a request for a page asks for it: parameters, slot, end of the server."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from pybrpc.builtin.page import PageError
from pybrpc.builtin.profiling.contention import take_contention_profile
from pybrpc.builtin.profiling.cpu_sampler import take_cpu_profile
from pybrpc.builtin.profiling.heap_tracing import growth_between, heap_profile
from pybrpc.builtin.profiling.profile import Profile
from pybrpc.builtin.profiling.sampling import DEFAULT_SECONDS, MAX_PAUSE_S, MAX_SECONDS
from pybrpc.builtin.profiling.slot import PROFILE_SLOT
from pybrpc.builtin.server_view import ServerView

KINDS = ("cpu", "wall", "heap", "growth", "contention")
MIN_SECONDS = 0.01


def seconds_of(
    text: str, default: float | None = DEFAULT_SECONDS, most: float = MAX_SECONDS
) -> float:
    """The parameter `seconds`; more than `most` is `most`, as in C++. PageError (400) if it is no
    number, or if it is missing and has no default."""
    if not text and default is not None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not MIN_SECONDS <= seconds < math.inf:
        raise PageError(400, f"seconds must be a number from {MIN_SECONDS} to {most:.0f}")
    return min(seconds, most)


def count_of(name: str, text: str, default: int, most: int) -> int:
    """A parameter that is a whole number from 1 to `most`. PageError (400) if it is not."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise PageError(400, f"{name} must be a whole number from 1 to {most}")
    return int(text)


def take_profile(kind: str, seconds: float, server: ServerView) -> Profile:
    """A profile of one of `KINDS`. Blocks for `seconds`, or until `server` stops; that of the heap
    takes no such time. PageError if another one runs, the server stops, or nothing is traced."""
    if server.is_stopping:
        raise PageError(503, "the server stops")

    def is_over() -> bool:
        return server.is_stopping

    with PROFILE_SLOT.hold(kind):
        if kind == "heap":
            return heap_profile()
        if kind == "growth":
            return _growth(seconds, is_over)
        if kind == "contention":
            return take_contention_profile(seconds, is_over)
        return take_cpu_profile(seconds, is_over, is_wall=kind == "wall")


def _growth(seconds: float, is_over: Callable[[], bool]) -> Profile:
    before = heap_profile()
    ends_at = time.monotonic() + seconds
    while (left_s := ends_at - time.monotonic()) > 0 and not is_over():
        time.sleep(min(left_s, MAX_PAUSE_S))
    return growth_between(before, heap_profile())
