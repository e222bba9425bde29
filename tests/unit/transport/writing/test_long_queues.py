"""A long queue is walked, dropped, refused and failed in parts, between which others are served."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Callable

import pytest

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.write_queue import WriteQueue
from pybrpc.transport.writing.write_request import WriteRequest
from pybrpc.transport.writing.writer import MAX_BATCHES_PER_STEP, MAX_DRAINED_PER_STEP
from tests.fakes.sockets import SMALL_BUFFER, MakeWire, Wire

MAX_DROPPED_PER_BATCH = 256
MAX_REQUESTS_PER_WALK = 16 * 1024
"""As in the modules that are tested, which don't show them when they are compiled."""

BIG = 1 << 20
COUNT = 5 * MAX_DRAINED_PER_STEP
UNLIMITED = SocketOptions(high_water_bytes=1 << 40)

MANY = 1_000_000
"""More than the stack of a thread would bear, if each were freed inside another."""

BROKEN = make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so")


def blocked(step: StepDispatcher, make_wire: MakeWire) -> Wire:
    """A connection with more queued than the kernel takes."""
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, options=UNLIMITED)
    wire.socket.start_write(IOBuf(bytes(BIG)))
    step.run_until_idle()
    return wire


def queued(socket: Socket, count: int = COUNT) -> list[WriteRequest]:
    requests = [WriteRequest(IOBuf(b"x")) for _ in range(count)]
    for request in requests:
        socket.write_request(request)
    return requests


def most_that_leave_in_a_step(step: StepDispatcher, socket: Socket) -> int:
    """Step until nothing is queued."""
    counts = [socket.backlog.requests]
    while counts[-1]:
        if not step.step():
            time.sleep(0.001)
        counts.append(socket.backlog.requests)
    return max(before - after for before, after in itertools.pairwise(counts))


@pytest.mark.parametrize("is_taken", [False, True])
def test_failed_queue_ends_in_bounded_steps(
    step: StepDispatcher, make_wire: MakeWire, is_taken: bool
) -> None:
    wire = blocked(step, make_wire)
    queued(wire.socket)
    if is_taken:
        wire.socket._writer.pending.requests.extend(wire.socket._writer._queue.take() or ())
    wire.socket.fail(BROKEN)
    assert most_that_leave_in_a_step(step, wire.socket) == MAX_DRAINED_PER_STEP
    step.run_until_idle()
    assert (wire.socket.fd, wire.socket.backlog.size_bytes) == (-1, 0)


@pytest.mark.python_only
def test_failed_queue_leaves_time_to_others(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = blocked(step, make_wire)
    settle = type(wire.socket._writer.pending).settle_failed

    def settle_slowly(*arguments: object) -> None:
        step.clock.advance(0.0011)
        settle(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(wire.socket._writer.pending), "settle_failed", settle_slowly)
    queued(wire.socket, 100)
    wire.socket.fail(BROKEN)
    assert most_that_leave_in_a_step(step, wire.socket) == 2


def test_queue_of_a_closed_dispatcher_ends_at_once(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = blocked(step, make_wire)
    told: list[RpcError | None] = []
    for request in queued(wire.socket):
        request.on_outcome = told.append
    step.close()
    wire.socket.fail(BROKEN)
    assert len(told) == COUNT
    assert {error.code for error in told if error} == {ErrorCode.EFAILEDSOCKET}
    assert (wire.socket.fd, wire.socket.backlog.requests) == (-1, 0)


def test_cancelled_requests_are_dropped_in_bounded_steps(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = blocked(step, make_wire)
    requests = queued(wire.socket, 6_000)
    told: list[RpcError | None] = []
    for request in requests[:-1]:
        request.on_outcome = told.append
        request.cancel()
    reading = threading.Thread(target=wire.receive, args=[BIG + 1])
    reading.start()
    most = most_that_leave_in_a_step(step, wire.socket)
    reading.join()
    assert 0 < most <= MAX_BATCHES_PER_STEP * MAX_DROPPED_PER_BATCH + 1
    step.run_until_idle()
    assert {error and error.code for error in told} == {ErrorCode.ECANCELED}
    assert (len(told), wire.socket.backlog.size_bytes) == (5_999, 0)


def test_requests_behind_shutdown_write_are_refused_in_bounded_steps(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = blocked(step, make_wire)
    last = WriteRequest(IOBuf(b"last"), shutdown_write=True)
    wire.socket.write_request(last)
    requests = queued(wire.socket, 6_000)
    told: list[RpcError | None] = []
    for request in requests:
        request.on_outcome = told.append
    reading = threading.Thread(target=wire.receive, args=[BIG + 4])
    reading.start()
    most = most_that_leave_in_a_step(step, wire.socket)
    reading.join()
    assert 0 < most <= MAX_BATCHES_PER_STEP * MAX_DROPPED_PER_BATCH + 1
    step.run_until_idle()
    assert {error and error.code for error in told} == {ErrorCode.ESHUTDOWNWRITE}
    assert (len(told), wire.socket.backlog.size_bytes) == (6_000, 0)
    assert wire.receive_all() == b""


def test_writing_goes_on_behind_a_long_list(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = blocked(step, make_wire)
    count = 2 * MAX_REQUESTS_PER_WALK + 1
    queued(wire.socket, count)
    reading = threading.Thread(target=wire.receive, args=[BIG + count])
    reading.start()
    most_that_leave_in_a_step(step, wire.socket)
    reading.join()
    assert not wire.socket.is_failed


def dropped_with_its_queue(requests: list[WriteRequest], queue: WriteQueue) -> None:
    requests.clear()


def dropped_before_its_newest(requests: list[WriteRequest], queue: WriteQueue) -> None:
    del requests[:-1]


def dropped_in_a_circle(requests: list[WriteRequest], queue: WriteQueue) -> None:
    requests[0].on_outcome = lambda error: print(queue, requests)
    requests.clear()


@pytest.mark.slow
@pytest.mark.parametrize(
    "drop", [dropped_with_its_queue, dropped_before_its_newest, dropped_in_a_circle]
)
def test_requests_that_were_never_taken_are_freed_on_a_small_stack(
    drop: Callable[[list[WriteRequest], WriteQueue], None],
) -> None:
    done: list[bool] = []

    def run() -> None:
        queue, data = WriteQueue(), IOBuf()
        requests = [WriteRequest(data) for _ in range(MANY)]
        for request in requests:
            queue.push(request)
        del request
        drop(requests, queue)
        del queue
        gc.collect()
        requests.clear()
        done.append(True)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert done


def test_queue_whose_constructor_was_interrupted_is_dropped_in_silence() -> None:
    """Its fields are not set; compiled, they are None, whose methods must not be called."""
    queue = WriteQueue.__new__(WriteQueue)
    del queue
