"""Pauses of a background thread in a long computation.

A thread that only computes keeps the GIL for 5 ms at a time, and a call needs the GIL several times
in turn. With a pause now and then calls hardly notice it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

PAUSE_S = 5e-5
THINGS_PER_PAUSE = 64
"""For things that take some ten microseconds each."""

T = TypeVar("T")


def pause() -> None:
    """Let other threads run."""
    time.sleep(PAUSE_S)


def paced(
    things: Iterable[T],
    per_pause: int = THINGS_PER_PAUSE,
    pause: Callable[[], object] = pause,
) -> Iterator[T]:
    """The same things, with a pause after every `per_pause` of them."""
    for number, thing in enumerate(things, 1):
        yield thing
        if not number % per_pause:
            pause()
