"""WriteQueue under every schedule of its producers and its holder, and mutants that must fail."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_scheduler import (
    ScheduleFailure,
    StepScheduler,
    TracedRef,
    explore,
    explore_randomly,
    replay,
)
from pybrpc.transport.writing.write_queue import WriteQueue
from pybrpc.transport.writing.write_request import BUSY, UNCONNECTED, WriteRequest

_next = WriteRequest.__dict__["next"]


class TracedRequest(WriteRequest):
    """A request that comes to a point before each access to `next`."""

    scheduler: StepScheduler | None = None

    def __init__(self, name: tuple[int, int]) -> None:
        self.name = name
        super().__init__(IOBuf())

    @property
    def next(self) -> WriteRequest | None:  # type: ignore[override]
        if self.scheduler is not None:
            self.scheduler.point(f"read next of {self.name}")
        found: WriteRequest | None = _next.__get__(self)
        return found

    @next.setter
    def next(self, value: WriteRequest | None) -> None:
        if self.scheduler is not None:
            self.scheduler.point(f"link {self.name}")
        _next.__set__(self, value)

    def __repr__(self) -> str:
        return str(self.name)


class Run:
    """Producers that push; who gets the right is the holder until the queue is empty."""

    def __init__(self, scheduler: StepScheduler, queue: WriteQueue) -> None:
        self.scheduler = scheduler
        self.queue = queue
        self.written: list[tuple[int, int]] = []
        self.holders = 0

    def produce(self, producer: int, messages: int) -> None:
        for number in range(messages):
            request = TracedRequest((producer, number))
            request.scheduler = self.scheduler
            if self.queue.push(request):
                self.hold(request)

    def hold(self, first: TracedRequest) -> None:
        self.holders += 1
        assert self.holders == 1, "two hold the right"
        self.written.append(first.name)
        while True:
            self.holders -= 1
            if self.queue.release():
                return
            self.holders += 1
            assert self.holders == 1, "two hold the right"
            taken = self.queue.take()
            if taken is None:
                self.scheduler.wait_for_others()
                continue
            self.written += [
                request.name for request in taken if isinstance(request, TracedRequest)
            ]

    def check(self, counts: tuple[int, ...]) -> None:
        """Against the sequential oracle: each producer's requests once, in its order."""
        for producer, count in enumerate(counts):
            numbers = [number for index, number in self.written if index == producer]
            assert numbers == list(range(count)), f"producer {producer}: {numbers}"
        assert len(self.written) == sum(counts)
        assert self.queue._head.get() is None, "the right was not given back"
        assert self.queue._cut_off is None, "a cut list was left over"
        assert self.holders == 0


def scenario_of(
    counts: tuple[int, ...], make_queue: Callable[[], WriteQueue] = WriteQueue
) -> Callable[[StepScheduler], None]:
    def scenario(scheduler: StepScheduler) -> None:
        queue = make_queue()
        queue._head = TracedRef(scheduler, None)
        run = Run(scheduler, queue)
        scheduler.run(
            *[
                lambda producer=producer, count=count: run.produce(producer, count)
                for producer, count in enumerate(counts)
            ]
        )
        run.check(counts)

    return scenario


@pytest.mark.slow
@pytest.mark.python_only
@pytest.mark.parametrize(("counts", "at_least"), [((1, 1), 10), ((2, 1), 50), ((2, 2), 1000)])
def test_every_schedule_of_two_producers(counts: tuple[int, ...], at_least: int) -> None:
    assert explore(scenario_of(counts), max_schedules=100_000) >= at_least


@pytest.mark.slow
@pytest.mark.python_only
@pytest.mark.parametrize(("counts", "preemptions"), [((1, 1, 1), 3), ((2, 2, 2), 2)])
def test_every_schedule_of_three_producers_with_few_preemptions(
    counts: tuple[int, ...], preemptions: int
) -> None:
    count = explore(scenario_of(counts), max_preemptions=preemptions, max_schedules=100_000)
    assert count >= 1000


@pytest.mark.python_only
@pytest.mark.parametrize("counts", [(2, 2, 2), (5, 5), (3, 1, 4, 2), (20, 20, 20)])
def test_random_schedules_of_more(counts: tuple[int, ...]) -> None:
    explore_randomly(scenario_of(counts), range(150))


# --- mutants ---


class LinksBeforeTheExchange(WriteQueue):
    __slots__ = ()

    def push(self, request: WriteRequest) -> bool:
        older = self._head.get()
        request.next = older
        self._head.get_and_set(request)
        if older is None:
            self._mark = request
        return older is None


class LinksNever(WriteQueue):
    __slots__ = ()

    def push(self, request: WriteRequest) -> bool:
        if self._head.get_and_set(request) is None:
            self._mark = request
            return True
        return False


class ReleasesWithoutLooking(WriteQueue):
    __slots__ = ()

    def release(self) -> bool:
        self._head.get_and_set(None)
        return True


class LooksThenReleases(WriteQueue):
    __slots__ = ()

    def release(self) -> bool:
        if self._cut_off is not None or self._head.get() is not self._mark:
            return False
        self._head.get_and_set(None)
        return True


class ForgetsTheMark(WriteQueue):
    __slots__ = ()

    def push(self, request: WriteRequest) -> bool:
        older = self._head.get_and_set(request)
        request.next = older
        return older is None


class DropsTheCutPart(WriteQueue):
    __slots__ = ()

    def take(self) -> list[WriteRequest] | None:
        taken = super().take()
        self._cut_off = None
        return taken


class WritesTheNewPartOfACutList(WriteQueue):
    __slots__ = ()

    def take(self) -> list[WriteRequest] | None:
        node: WriteRequest | None = self._head.get_and_set(BUSY)
        taken: list[WriteRequest] = []
        while node is not None and node is not self._mark and node is not UNCONNECTED:
            taken.append(node)
            node = node.next
        self._mark = BUSY
        return taken[::-1]


class TakesNewestFirst(WriteQueue):
    __slots__ = ()

    def take(self) -> list[WriteRequest] | None:
        taken = super().take()
        return taken and taken[::-1]


MUTANTS = [
    LinksBeforeTheExchange,
    LinksNever,
    ReleasesWithoutLooking,
    LooksThenReleases,
    ForgetsTheMark,
    DropsTheCutPart,
    WritesTheNewPartOfACutList,
    TakesNewestFirst,
]


@pytest.mark.python_only
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_caught(mutant: type[WriteQueue]) -> None:
    """And the schedule that caught it catches it again."""
    scenario = scenario_of((1, 3) if mutant is TakesNewestFirst else (2, 2), mutant)
    with pytest.raises(ScheduleFailure) as caught:
        explore(scenario, max_schedules=100_000)
    with pytest.raises(ScheduleFailure) as again:
        replay(scenario, caught.value.choices)
    assert str(again.value) == str(caught.value)


# --- without threads ---


def test_first_push_gets_the_right_and_later_ones_do_not() -> None:
    queue = WriteQueue()
    assert [queue.push(WriteRequest(IOBuf())) for _ in range(3)] == [True, False, False]


def test_take_gives_oldest_first_without_the_request_that_got_the_right() -> None:
    queue = WriteQueue()
    requests = [WriteRequest(IOBuf()) for _ in range(5)]
    for request in requests[:3]:
        queue.push(request)
    assert queue.take() == requests[1:3]
    assert queue.take() == []
    for request in requests[3:]:
        queue.push(request)
    assert not queue.release()
    assert queue.take() == requests[3:]
    assert queue.release()
    assert queue.push(WriteRequest(IOBuf()))


@pytest.mark.python_only
def test_a_cut_list_is_given_whole_once_it_is_linked() -> None:
    queue = WriteQueue()
    first, cut, last, later = (WriteRequest(IOBuf()) for _ in range(4))
    queue.push(first)
    queue._head.get_and_set(cut)
    queue.push(last)
    assert repr(queue) == "<WriteQueue whole>"
    assert queue.take() is None
    assert repr(queue) == "<WriteQueue cut off>"
    assert not queue.release()
    queue.push(later)
    assert queue.take() is None
    cut.next = first
    assert queue.take() == [cut, last]
    assert queue.take() == [later]
    assert queue.release()


# --- long lists ---

MAX_REQUESTS_PER_WALK = 16 * 1024
"""As in the module, which does not show it when it is compiled."""


def with_pushed(count: int) -> tuple[WriteQueue, list[WriteRequest]]:
    """A queue whose holder has `count` requests to take."""
    queue = WriteQueue()
    queue.push(WriteRequest(IOBuf()))
    requests = [WriteRequest(IOBuf()) for _ in range(count)]
    for request in requests:
        queue.push(request)
    return queue, requests


def test_as_many_requests_as_a_walk_may_pass_are_taken_at_once() -> None:
    queue, requests = with_pushed(MAX_REQUESTS_PER_WALK)
    assert queue.take() == requests
    assert queue.release()


def test_longer_list_is_walked_in_parts() -> None:
    queue, requests = with_pushed(2 * MAX_REQUESTS_PER_WALK + 1)
    assert (queue.take(), queue.is_cut, queue.release()) == (None, False, False)
    late = WriteRequest(IOBuf())
    queue.push(late)
    assert (queue.take(), queue.is_cut) == (None, False)
    assert queue.take() == requests
    assert not queue.release()
    assert queue.take() == [late]
    assert queue.release()


@pytest.mark.python_only
def test_list_that_is_cut_where_a_walk_would_end_is_cut() -> None:
    queue, first = WriteQueue(), WriteRequest(IOBuf())
    queue.push(first)
    cut = WriteRequest(IOBuf())
    queue._head.get_and_set(cut)
    for _ in range(MAX_REQUESTS_PER_WALK - 1):
        queue.push(WriteRequest(IOBuf()))
    assert (queue.take(), queue.is_cut) == (None, True)
    cut.next = first
    taken = queue.take()
    assert taken is not None
    assert (len(taken), taken[0]) == (MAX_REQUESTS_PER_WALK, cut)


class Data(IOBuf):
    """One whose end can be seen."""


def test_request_that_was_taken_keeps_no_other_one() -> None:
    queue = WriteQueue()
    queue.push(WriteRequest(IOBuf()))
    data = [Data() for _ in range(3)]
    seen = [weakref.ref(one) for one in data]
    for one in data:
        queue.push(WriteRequest(one))
    del data, one
    taken = queue.take()
    assert taken is not None
    assert [request.next for request in taken] == [None] * 3
    newest = taken[-1]
    del taken
    gc.collect()
    assert [ref() is not None for ref in seen] == [False, False, True]
    del newest
