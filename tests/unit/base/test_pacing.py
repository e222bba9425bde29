"""Pauses in long computations."""

from __future__ import annotations

import threading

from pybrpc.base.pacing import THINGS_PER_PAUSE, paced, pause
from tests.fakes.threads import wait_until


def test_paced_gives_all_things_and_pauses_after_every_few() -> None:
    seen: list[object] = []
    for thing in paced(range(7), 3, lambda: seen.append("pause")):
        seen.append(thing)
    assert seen == [0, 1, 2, "pause", 3, 4, 5, "pause", 6]


def test_short_loop_has_no_pause() -> None:
    pauses: list[None] = []
    things = range(THINGS_PER_PAUSE - 1)
    assert list(paced(things, pause=lambda: pauses.append(None))) == list(things)
    assert list(paced((), pause=lambda: pauses.append(None))) == []
    assert pauses == []


def test_other_threads_run_in_a_pause() -> None:
    turns: list[None] = []
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            turns.append(None)
            pause()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: len(turns) > 3)
    finally:
        is_over.set()
        thread.join()
