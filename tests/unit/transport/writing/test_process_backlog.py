"""Bytes queued in all sockets together: counted exactly, refused fairly."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pybrpc.errors import OvercrowdedError, RpcTimeoutError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.testing.step_scheduler import (
    ScheduleFailure,
    StepScheduler,
    explore,
    explore_randomly,
)
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.writing import backlog as module
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import (
    CHUNK_BYTES,
    MAX_QUEUED_BYTES,
    MIN_HARD_MARGIN_BYTES,
    ProcessBacklog,
)
from tests.fakes.sockets import MakeStep, MakeWire, Outcomes, UserMessage, flush
from tests.fakes.threads import in_threads
from tests.schedules.traced import TracedCounter


def test_a_socket_under_a_chunk_is_not_counted() -> None:
    process = ProcessBacklog()
    backlog = Backlog(process=process)
    backlog.try_add(CHUNK_BYTES - 1, False)
    assert process.size_bytes == 0
    backlog.try_add(1, False)
    assert process.size_bytes == CHUNK_BYTES
    backlog.remove(1, 1)
    assert process.size_bytes == 0


def test_whole_chunks_of_many_sockets_add_up() -> None:
    process = ProcessBacklog(chunk_bytes=100)
    backlogs = [Backlog(process=process) for _ in range(5)]
    for backlog in backlogs:
        assert backlog.try_add(250, False)
    assert process.size_bytes == 1000
    backlogs[0].correct(60)
    backlogs[1].correct(-60)
    assert process.size_bytes == 1000
    for backlog in backlogs:
        backlog.remove(backlog.size_bytes, 1)
    assert process.size_bytes == 0


MIB = 1 << 20


def test_what_is_queued_and_reserved_stays_below_the_hard_limit() -> None:
    process = ProcessBacklog(64 * MIB)
    backlog = Backlog(process=process)
    assert backlog.try_add(20 * MIB, True)
    assert [process.try_reserve(30 * MIB) for _ in range(3)] == [30 * MIB, 30 * MIB, None]
    assert process.reserved_bytes == 60 * MIB
    assert not process.is_full(), "what is reserved makes no socket overcrowded"
    process.release(30 * MIB)
    backlog.remove(20 * MIB, 1)
    assert process.try_reserve(50 * MIB) == 50 * MIB
    for size in (30 * MIB, 50 * MIB):
        process.release(size)
    assert (process.reserved_bytes, process.size_bytes) == (0, 0)


@pytest.mark.parametrize("limit_mib", [1, 8, 64, 1024])
def test_one_reservation_of_any_size_fits_into_an_idle_process(limit_mib: int) -> None:
    process = ProcessBacklog(limit_mib * MIB)
    assert Backlog(process=process).try_add(MIB, True)
    reserved = process.try_reserve(1 << 40)
    assert reserved is not None
    assert process.try_reserve(1 << 40) is None
    process.release(reserved)
    assert process.try_reserve(1 << 40) == reserved


def test_without_a_limit_nothing_is_reserved() -> None:
    process = ProcessBacklog(None)
    assert [process.try_reserve(1 << 40) for _ in range(2)] == [0, 0]
    assert process.reserved_bytes == 0


def test_reservations_of_many_threads_add_up() -> None:
    process = ProcessBacklog(64 * MIB)

    def reserve(_: int) -> int:
        taken = 0
        for _ in range(2000):
            reserved = process.try_reserve(50 * MIB)
            if reserved is not None:
                taken += 1
                process.release(reserved)
        return taken

    in_threads(4, reserve)
    assert process.reserved_bytes == 0
    assert process.try_reserve(50 * MIB) == 50 * MIB


def test_full_process_refuses_a_socket_that_would_hold_a_chunk() -> None:
    process = ProcessBacklog(1000, chunk_bytes=100)
    full, idle = Backlog(process=process), Backlog(process=process)
    assert full.try_add(1100, False)
    assert not full.try_add(1, False)
    assert not idle.try_add(100, False)
    assert (idle.size_bytes, idle.requests, process.size_bytes) == (0, 0, 1100)
    assert idle.try_add(99, False)
    assert not idle.try_add(1, False)
    assert idle.try_add(1, True)
    assert process.size_bytes == 1200


def test_message_that_passes_the_limit_makes_a_socket_overcrowded_until_it_shrinks() -> None:
    process = ProcessBacklog(1000, chunk_bytes=100)
    full, other = Backlog(process=process), Backlog(process=process)
    assert full.try_add(1100, False)
    other.try_add(300, True)
    assert other.is_overcrowded
    other.remove(150, 0)
    assert other.is_overcrowded
    other.remove(51, 0)
    assert not other.is_overcrowded


def test_socket_overcrowded_by_the_process_recovers_when_it_and_the_others_shrink() -> None:
    process = ProcessBacklog(1000, chunk_bytes=100)
    full, other = Backlog(process=process), Backlog(process=process)
    assert full.try_add(1100, False)
    other.try_add(300, True)
    full.remove(1100, 1)
    assert other.is_overcrowded
    other.remove(1, 0)
    assert not other.is_overcrowded


def test_limit_can_be_changed_and_lifted() -> None:
    process = ProcessBacklog(None, chunk_bytes=100)
    backlog, other = Backlog(process=process), Backlog(process=process)
    assert backlog.try_add(10_000, False)
    assert not process.is_full()
    assert not process.is_over_hard_limit()
    process.limit_bytes = 1000
    assert process.is_full()
    assert not other.try_add(100, False)
    process.limit_bytes = None
    assert other.try_add(100, False)
    assert "10100 no limit" in repr(process)


def test_hard_limit_is_well_above_full() -> None:
    process = ProcessBacklog(1000)
    backlog, other = Backlog(process=process), Backlog(process=process)
    backlog.try_add(MIN_HARD_MARGIN_BYTES, True)
    assert process.is_full()
    assert not process.is_over_hard_limit()
    assert not other.exceeds_hard_limit(CHUNK_BYTES)
    backlog.try_add(2 * CHUNK_BYTES, True)
    assert process.is_over_hard_limit()
    assert other.exceeds_hard_limit(CHUNK_BYTES)
    assert not other.exceeds_hard_limit(CHUNK_BYTES - 1)


def test_socket_alone_exceeds_its_hard_limit_too() -> None:
    backlog = Backlog(1000)
    assert not backlog.exceeds_hard_limit(1 << 30)
    backlog.try_add(1000 + MIN_HARD_MARGIN_BYTES, True)
    assert not backlog.exceeds_hard_limit(1)
    backlog.try_add(1, True)
    assert backlog.exceeds_hard_limit(1)


def test_refused_writer_is_woken_when_others_make_room() -> None:
    process = ProcessBacklog(1000, chunk_bytes=100)
    full, idle = Backlog(process=process), Backlog(process=process)
    woken: list[str] = []
    full.try_add(1100, False)
    assert not idle.try_add(100, False)
    idle.when_writable(lambda: woken.append("has room"))
    idle.when_writable(forgotten := lambda: woken.append("forgotten"))
    idle.forget(forgotten)
    assert woken == []
    full.remove(100, 0)
    assert woken == ["has room"]
    assert not idle.rejected_by_process_limit


def test_refused_writer_is_woken_when_its_socket_fails() -> None:
    process = ProcessBacklog(1000, chunk_bytes=100)
    full, idle = Backlog(process=process), Backlog(process=process)
    woken: list[str] = []
    full.try_add(1100, False)
    assert not idle.try_add(100, False)
    idle.when_writable(lambda: woken.append("failed"))
    idle.close()
    idle.when_writable(lambda: woken.append("had failed"))
    assert woken == ["failed", "had failed"]
    full.remove(1100, 1)
    assert woken == ["failed", "had failed"]


# --- in any schedule ---


class TracedProcess(ProcessBacklog):
    """A ProcessBacklog that comes to a point before each access to its count."""

    __slots__ = ()

    def __init__(self, scheduler: StepScheduler, limit: int) -> None:
        super().__init__(limit, chunk_bytes=10)
        self._chunks = TracedCounter(scheduler, is_signed=True)


class TracedShare(Backlog):
    """A Backlog of 1000 bytes that comes to a point before each access to its count."""

    __slots__ = ()

    def __init__(self, scheduler: StepScheduler, process: ProcessBacklog) -> None:
        super().__init__(1000, 500, process)
        self._counted = TracedCounter(scheduler)


class SharesWhatItSees(TracedShare):
    """A mutant: tells the shared count by what it sees, not by what its own step did."""

    __slots__ = ()

    def remove(self, size: int, requests: int) -> None:
        before = self._counted.get() & module._BYTES
        super(TracedShare, self).remove(0, requests)
        after = self._counted.decrement_and_get(size) & module._BYTES
        self._share(before, after)


Make = Callable[[StepScheduler, ProcessBacklog], Backlog]


def two_threads_on_one_socket(make: Make = TracedShare) -> Callable[[StepScheduler], None]:
    """Each adds and removes; one of them passes a chunk only together with the other."""

    def scenario(scheduler: StepScheduler) -> None:
        process = TracedProcess(scheduler, 1000)
        backlog = make(scheduler, process)

        def run(size: int) -> None:
            if backlog.try_add(size, False):
                backlog.remove(size, 1)

        scheduler.run(lambda: run(7), lambda: run(15))
        assert (backlog.size_bytes, process.size_bytes) == (0, 0)

    return scenario


def refusals(scheduler: StepScheduler) -> None:
    """Two sockets of a full process: what is refused is not counted anywhere."""
    process = TracedProcess(scheduler, 20)
    stuck = Backlog(1000, 500, process)
    assert stuck.try_add(30, False)
    backlogs = [TracedShare(scheduler, process) for _ in range(2)]

    def run(backlog: Backlog) -> None:
        if backlog.try_add(12, False):
            backlog.remove(12, 1)

    scheduler.run(*(lambda each=each: run(each) for each in backlogs), lambda: stuck.remove(30, 1))
    assert process.size_bytes == 0
    assert all(each.size_bytes == 0 and not each.is_overcrowded for each in backlogs)


def waiting(scheduler: StepScheduler) -> None:
    """One waits for room in the process while another socket makes it."""
    process = TracedProcess(scheduler, 20)
    stuck, idle = Backlog(1000, 500, process), Backlog(1000, 500, process)
    assert stuck.try_add(30, False)
    assert not idle.try_add(12, False)
    woken: list[bool] = []
    scheduler.run(
        lambda: stuck.remove(30, 1), lambda: idle.when_writable(lambda: woken.append(True))
    )
    assert woken == [True]


@pytest.mark.slow
@pytest.mark.python_only
def test_bytes_are_uncounted_exactly_once_in_any_schedule() -> None:
    assert explore(two_threads_on_one_socket(), max_schedules=200_000) > 50


@pytest.mark.python_only
def test_refused_message_is_not_counted_in_any_schedule() -> None:
    explore_randomly(refusals, range(500))


@pytest.mark.python_only
def test_no_waiter_is_forgotten_in_any_schedule() -> None:
    assert explore(waiting, max_schedules=100_000) > 5


@pytest.mark.python_only
def test_mutant_is_caught() -> None:
    with pytest.raises(ScheduleFailure):
        explore(two_threads_on_one_socket(SharesWhatItSees), max_schedules=200_000)


def test_real_threads_leave_nothing_counted() -> None:
    process = ProcessBacklog(5_000, chunk_bytes=64)
    backlogs = [Backlog(2_000, process=process) for _ in range(3)]

    def run(thread: int) -> None:
        for number in range(2_000):
            backlog = backlogs[(thread + number) % 3]
            size = (thread * 37 + number * 11) % 900
            if backlog.try_add(size, number % 7 == 0):
                backlog.correct(5)
                backlog.remove(size + 5, 1)

    in_threads(4, run)
    assert process.size_bytes == 0
    assert all(not each.is_overcrowded and each.size_bytes == 0 for each in backlogs)


# --- with sockets ---


def test_every_outcome_of_a_socket_uncounts(make_step: MakeStep, make_wire: MakeWire) -> None:
    """Written, failed to be packed, refused after a shutdown, failed with the socket."""
    step, process, told = make_step(), ProcessBacklog(chunk_bytes=1000), Outcomes()
    written = make_wire(step, process_backlog=process)
    failed = make_wire(step, process_backlog=process)
    for wire in (written, failed):
        for _ in range(20):
            wire.socket.start_write(IOBuf(bytes(100_000)), ignore_eovercrowded=True)
        wire.socket.start_write(UserMessage(bytes(5_000)), on_outcome=told)
        wire.socket.start_write(UserMessage(ValueError("no bytes")), on_outcome=told)
    assert process.size_bytes > 1_000_000
    written.socket.start_write(IOBuf(b"the last"), shutdown_write=True)
    written.socket.start_write(IOBuf(bytes(3_000)), on_outcome=told)
    flush(written, step)
    failed.socket.close()
    step.run_until_idle()
    assert process.size_bytes == 0


def test_error_names_the_limit_of_the_process(make_step: MakeStep, make_wire: MakeWire) -> None:
    step, process = make_step(), ProcessBacklog(500_000)
    full, other = (make_wire(step, process_backlog=process) for _ in range(2))
    while not process.is_full():
        full.socket.start_write(IOBuf(bytes(100_000)))
    for wire in (full, other):
        with pytest.raises(OvercrowdedError, match="queues of this process are full") as caught:
            wire.socket.start_write(IOBuf(bytes(100_000)))
        assert "max_queued_bytes=500000" in caught.value.text
        assert caught.value.phase == "queued"
    assert other.socket.statistics().refused_overcrowded == 1
    other.socket.start_write(IOBuf(b"short"))
    assert other.receive(5) == b"short"


def test_writer_waits_for_room_in_the_process(epoll: StepDispatcher, make_wire: MakeWire) -> None:
    process = ProcessBacklog(500_000)
    full, other = (make_wire(epoll, process_backlog=process) for _ in range(2))
    while not process.is_full():
        full.socket.start_write(IOBuf(bytes(100_000)), ignore_eovercrowded=True)
    with pytest.raises(OvercrowdedError):
        other.socket.start_write(IOBuf(bytes(100_000)))
    with pytest.raises(RpcTimeoutError):
        other.socket.wait_writable(0.0)
    waiter = threading.Thread(target=other.socket.wait_writable)
    waiter.start()
    full.socket.close()
    waiter.join(30)
    assert not waiter.is_alive()
    other.socket.start_write(IOBuf(bytes(100_000)))


def test_runtime_has_the_limit() -> None:
    runtime = Runtime()
    assert runtime.max_queued_bytes == MAX_QUEUED_BYTES == 1 << 30
    runtime.max_queued_bytes = 5
    assert runtime.backlog.limit_bytes == 5
    assert Runtime(max_queued_bytes=None).max_queued_bytes is None
    with pytest.raises(ValueError, match=">= 0"):
        runtime.max_queued_bytes = -1
