"""WorkerSlots: no more threads run handlers than are allowed."""

from __future__ import annotations

import threading

from pybrpc.server.running.worker_slots import WorkerSlots


def test_slots_are_taken_up_to_the_limit() -> None:
    slots = WorkerSlots(2)
    assert [slots.try_take() for _ in range(3)] == [True, True, False]
    assert (slots.has_room(), slots.taken()) == (False, 2)
    slots.release()
    assert (slots.has_room(), slots.try_take()) == (True, True)
    assert repr(slots) == "<WorkerSlots, 2 of 2 taken>"


def test_many_threads_take_no_more_than_the_limit() -> None:
    slots, most = WorkerSlots(3), [0]

    def take_and_release() -> None:
        for _ in range(2000):
            if slots.try_take():
                held = slots.taken()
                most[0] = max(most[0], held)
                slots.release()

    threads = [threading.Thread(target=take_and_release) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slots.taken() == 0
