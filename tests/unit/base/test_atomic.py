from __future__ import annotations

import itertools
import threading

from pybrpc.base.atomic import atomic_counter, atomic_ref


def test_ref_exchanges_and_compares_by_identity() -> None:
    first, second, equal = [1], [2], [1]
    ref = atomic_ref(first)
    assert ref.get() is first
    assert not ref.compare_and_set(equal, second)
    assert ref.compare_and_set(first, second)
    assert ref.get_and_set(equal) is second
    assert ref.get() is equal


def test_exchanges_in_many_threads_return_each_value_once() -> None:
    ref = atomic_ref(-1)
    came_out: list[list[int]] = [[] for _ in range(4)]

    def run(index: int) -> None:
        for number in range(2000):
            came_out[index].append(ref.get_and_set(10_000 * index + number))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    values = sorted([*itertools.chain(*came_out), ref.get()])
    assert values == sorted([-1, *(10_000 * i + n for i in range(4) for n in range(2000))])


def test_counter_adds_up_the_increments_of_many_threads() -> None:
    counter = atomic_counter(5)

    def run() -> None:
        for _ in range(5000):
            counter.increment_and_get(3)
            counter.decrement_and_get(2)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counter.get() == 5 + 20_000


def test_compare_and_set_of_a_counter_needs_the_expected_value() -> None:
    counter = atomic_counter()
    assert counter.get() == 0
    assert not counter.compare_and_set(1, 7)
    assert counter.compare_and_set(0, 7)
    assert counter.decrement_and_get() == 6
