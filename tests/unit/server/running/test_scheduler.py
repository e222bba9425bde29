"""Scheduler: connections take turns, no call is lost or taken twice, calls can be removed."""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections import Counter, defaultdict

import pytest

from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.running.scheduler import TURN_S, UNKNOWN_S, Scheduler

FAST_S = TURN_S / 50


class Call:
    """A call of a connection, which is expected to take `mean_s`."""

    def __init__(self, queue: CallQueue, number: int, mean_s: float) -> None:
        self.entry = self
        self.queue = queue
        self.number = number
        self.mean_s = mean_s
        self.deadline = math.inf

    def has_expired(self, now: float) -> bool:
        return now >= self.deadline


def put(scheduler: Scheduler, queue: CallQueue, count: int, mean_s: float) -> list[Call]:
    calls = [Call(queue, number, mean_s) for number in range(count)]
    scheduler.put(queue, calls)
    return calls


def taken(scheduler: Scheduler, count: int) -> list[Call]:
    return [scheduler.take() for _ in range(count)]


def test_calls_of_one_connection_come_in_their_order() -> None:
    scheduler, queue = Scheduler(), CallQueue()
    calls = put(scheduler, queue, 300, TURN_S) + put(scheduler, queue, 3, FAST_S)
    assert scheduler.waiting() == len(queue) == 303
    assert taken(scheduler, 303) == calls
    assert scheduler.take() is None
    assert (scheduler.waiting(), scheduler.is_empty()) == (0, True)


def test_slow_calls_of_connections_alternate() -> None:
    scheduler, queues = Scheduler(), [CallQueue() for _ in range(3)]
    for queue in queues:
        put(scheduler, queue, 4, 2 * TURN_S)
    assert [call.queue for call in taken(scheduler, 12)] == queues * 4


def test_fast_calls_of_a_connection_stay_together_for_one_turn() -> None:
    scheduler, queues = Scheduler(), [CallQueue() for _ in range(2)]
    for queue in queues:
        put(scheduler, queue, 1000, FAST_S)
    owners = [call.queue for call in taken(scheduler, 2000)]
    changes = sum(one is not two for one, two in itertools.pairwise(owners))
    assert 2000 / 50 <= changes < 2000 / 20


def test_calls_of_which_nothing_is_known_are_taken_for_slower_than_fast_ones() -> None:
    scheduler, queues = Scheduler(), [CallQueue() for _ in range(2)]
    for queue in queues:
        put(scheduler, queue, 100, 0.0)
    owners = [call.queue for call in taken(scheduler, 200)]
    assert owners.index(queues[1]) <= TURN_S / UNKNOWN_S


def test_lone_call_of_a_connection_waits_for_one_turn_of_each_other() -> None:
    scheduler, greedy, polite = Scheduler(), CallQueue(), CallQueue()
    put(scheduler, greedy, 20_000, 0.05)
    taken(scheduler, 10)
    put(scheduler, polite, 1, FAST_S)
    assert polite in [call.queue for call in taken(scheduler, 2)]


def test_call_that_is_put_back_is_the_next_one() -> None:
    scheduler, queue, other = Scheduler(), CallQueue(), CallQueue()
    calls = put(scheduler, queue, 3, FAST_S)
    put(scheduler, other, 1, FAST_S)
    first, second = taken(scheduler, 2)
    scheduler.put_back(queue, second)
    scheduler.put_back(queue, first)
    assert taken(scheduler, 3) == calls
    only = scheduler.take()
    assert only.queue is other
    scheduler.put_back(other, only)
    assert scheduler.take() is only
    assert (scheduler.take(), scheduler.waiting()) == (None, 0)


def test_calls_of_a_connection_are_removed_and_its_queue_is_forgotten() -> None:
    scheduler, dead, alive = Scheduler(), CallQueue(), CallQueue()
    removed = put(scheduler, dead, 30, FAST_S)
    kept = put(scheduler, alive, 2, FAST_S)
    assert scheduler.remove(dead, 20) == removed[:20]
    assert scheduler.remove(dead, 20) == removed[20:]
    assert scheduler.remove(dead, 20) == []
    assert repr(scheduler) == "<Scheduler of 2 calls, 1 connections>"
    assert taken(scheduler, 3) == [*kept, None]


def test_queue_that_was_emptied_can_be_filled_again() -> None:
    scheduler, queue = Scheduler(), CallQueue()
    for _ in range(3):
        put(scheduler, queue, 2, FAST_S)
        scheduler.remove(queue, 10)
        calls = put(scheduler, queue, 2, FAST_S)
        assert taken(scheduler, 3) == [*calls, None]


@pytest.mark.parametrize("seed", range(200))
def test_random_steps_lose_no_call_and_keep_the_order_of_each_connection(seed: int) -> None:
    rng, scheduler = random.Random(seed), Scheduler()
    queues = [CallQueue() for _ in range(4)]
    model: dict[CallQueue, list[Call]] = {queue: [] for queue in queues}
    for number in range(400):
        queue = rng.choice(queues)
        match rng.randrange(5):
            case 0 | 1:
                calls = [
                    Call(queue, number, rng.choice([0.0, FAST_S, TURN_S, 9 * TURN_S]))
                    for _ in range(rng.randrange(1, 6))
                ]
                scheduler.put(queue, calls)
                model[queue] += calls
            case 2 | 3:
                call = scheduler.take()
                if call is None:
                    assert not any(model.values())
                    continue
                assert model[call.queue].pop(0) is call
                if rng.random() < 0.2:
                    scheduler.put_back(call.queue, call)
                    model[call.queue].insert(0, call)
            case _:
                most = rng.randrange(1, 8)
                assert scheduler.remove(queue, most) == model[queue][:most]
                del model[queue][:most]
        assert scheduler.waiting() == sum(map(len, model.values()))
        assert scheduler.is_empty() == (not any(model.values()))


class Traffic:
    """Threads that put, take and remove at once."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.queues = [CallQueue() for _ in range(5)]
        self.put: list[Call] = []
        self.out: list[list[Call]] = []
        self.is_over = False

    def fill(self, seed: int) -> None:
        """One thread at a time fills a queue, as the turns of a dispatcher do."""
        rng = random.Random(seed)
        numbers: Counter[int] = Counter()
        for _ in range(3000):
            index = rng.randrange(len(self.queues))
            queue, count = self.queues[index], rng.randrange(1, 5)
            calls = [
                Call(queue, numbers[index] + number, rng.choice([0.0, FAST_S, TURN_S]))
                for number in range(count)
            ]
            numbers[index] += count
            self.put += calls
            self.scheduler.put(queue, calls)

    def take(self) -> None:
        mine: list[Call] = []
        self.out.append(mine)
        while True:
            call = self.scheduler.take()
            if call is not None:
                mine.append(call)
            elif self.is_over and not self.scheduler.waiting():
                return

    def remove(self) -> None:
        mine: list[Call] = []
        self.out.append(mine)
        rng = random.Random(0)
        while not self.is_over:
            mine += self.scheduler.remove(rng.choice(self.queues), 3)


def test_each_call_leaves_once_while_many_threads_take_and_remove() -> None:
    traffic = Traffic()
    threads = [threading.Thread(target=traffic.take) for _ in range(6)]
    threads += [threading.Thread(target=traffic.remove) for _ in range(2)]
    for thread in threads:
        thread.start()
    traffic.fill(1)
    traffic.is_over = True
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert Counter(map(id, traffic.put)) == Counter(id(call) for out in traffic.out for call in out)
    assert (traffic.scheduler.waiting(), traffic.scheduler.is_empty()) == (0, True)
    for out in traffic.out:
        last: dict[CallQueue, int] = defaultdict(lambda: -1)
        for call in out:
            assert call.number > last[call.queue]
            last[call.queue] = call.number


def test_expired_calls_at_the_heads_of_queues_are_taken() -> None:
    scheduler, queues = Scheduler(), [CallQueue() for _ in range(3)]
    calls = [put(scheduler, queue, 4, FAST_S) for queue in queues]
    for call in (*calls[0], calls[1][0], calls[1][1], calls[1][3], calls[2][1]):
        call.deadline = 5.0
    assert scheduler.take_expired(4.9, 100) == []
    assert scheduler.take_expired(5.0, 5) == [*calls[0], calls[1][0]]
    assert scheduler.take_expired(5.0, 100) == [calls[1][1]]
    assert scheduler.waiting() == 6
    left = {scheduler.take() for _ in range(6)}
    assert left == {*calls[1][2:], *calls[2]}
    assert scheduler.take() is None
    assert scheduler.is_empty()


def test_queue_that_is_empty_after_its_calls_have_expired_is_used_again() -> None:
    scheduler, queue = Scheduler(), CallQueue()
    (call,) = put(scheduler, queue, 1, FAST_S)
    call.deadline = 0.0
    assert scheduler.take_expired(1.0, 100) == [call]
    later = put(scheduler, queue, 2, FAST_S)
    assert taken(scheduler, 2) == later


class Fickle(Call):
    """Seems to have expired only the first time: then another thread takes the one that has."""

    looked = 0

    def has_expired(self, now: float) -> bool:
        self.looked += 1
        return self.looked == 1


def test_call_that_comes_instead_of_an_expired_one_is_put_back() -> None:
    scheduler, queue = Scheduler(), CallQueue()
    calls = [Fickle(queue, 0, FAST_S), Call(queue, 1, FAST_S)]
    scheduler.put(queue, calls)
    assert scheduler.take_expired(1.0, 100) == []
    assert scheduler.waiting() == 2
    assert taken(scheduler, 2) == calls


def test_each_call_is_taken_once_while_threads_take_run_and_expired_ones() -> None:
    scheduler, queues, rng = Scheduler(), [CallQueue() for _ in range(4)], random.Random(7)
    calls = []
    for queue in queues * 50:
        calls += (made := put(scheduler, queue, 20, FAST_S))
        for call in made:
            call.deadline = rng.choice([0.0, math.inf])
    found: list[Call] = []

    def take() -> None:
        while (call := scheduler.take()) is not None:
            found.append(call)

    def take_expired() -> None:
        while scheduler.waiting() > 0:
            found.extend(scheduler.take_expired(1.0, 7))

    threads = [threading.Thread(target=target) for target in (take, take, take_expired)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    take()
    assert Counter(found) == Counter(calls)
    assert scheduler.waiting() == 0
