"""Callbacks and failures of many calls take turns with the calls of others."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from typing import Any

import pytest

import pybrpc
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from tests.cases.child import run_in_child
from tests.cases.failing_calls import (
    STEPS_OF_FAILURES,
    calls_begun_by_callbacks_at_an_endpoint_that_is_down,
    failures_before_a_call_of_another_connection_is_answered,
    reset_when,
)
from tests.cases.peers import (
    LATE_S,
    PATIENT_S,
    close_after,
    echo_channel,
    echo_stub,
    in_thread,
    outcome_of,
    outcomes_of,
    wait_for,
    waited_for,
)
from tests.peers.echo import ECHO, echo_request
from tests.peers.forgetful import echo_in_batches, swallow
from tests.peers.scripted_server import Peer, ScriptedServer

CANCELLED = 40_000
FAILING = 20_000
CHAIN = 20_000
"""Calls, each of which is begun by the callback of the one that failed before."""
FILLS_THE_KERNEL = 10_000_000
"""Bytes; more than a connection takes whose peer does not read."""
CANCELLED_BYTES = 200


def outcome_of_a_blocking_call_during_a_slow_callback() -> str:
    """Both calls wait for the same connection, which is closed when both requests have come."""
    with ScriptedServer(close_after(2)) as server:
        stub = echo_stub(server.address, timeout=0.5, max_retry=0)
        has_ended = threading.Event()
        stub.Echo.with_callback(echo_request(), lambda *_: has_ended.wait(PATIENT_S))
        call = in_thread(lambda: stub.Echo(echo_request()))
        (outcome,) = outcomes_of([call], 0.5 + LATE_S)
        has_ended.set()
        return outcome


def test_blocking_call_ends_in_time_while_a_callback_of_its_connection_sleeps() -> None:
    assert run_in_child(outcome_of_a_blocking_call_during_a_slow_callback) != "never ended"


def callbacks_that_a_blocking_call_runs_at_a_reset() -> list[int]:
    """How many callbacks of 200 other calls run in its thread, and how many in any thread."""
    count, reset = 200, threading.Event()
    is_busy, is_free = threading.Event(), threading.Event()
    callers: Counter[str] = Counter()
    with ScriptedServer(reset_when(reset)) as server, ScriptedServer() as good:
        stub, other = (
            echo_stub(address, max_retry=0) for address in (server.address, good.address)
        )
        for _ in range(count):
            stub.Echo.with_callback(
                echo_request(), lambda *_: callers.update([threading.current_thread().name])
            )
        waited_for(lambda: server.connections == 1)
        other.Echo.with_callback(
            echo_request(), lambda *_: is_busy.set() or is_free.wait(PATIENT_S)
        )
        assert is_busy.wait(PATIENT_S)
        reset.set()
        waited_for(lambda: server.connections == 1 and server.peers[0].sock.fileno() == -1)
        time.sleep(0.1)
        thread = threading.Thread(
            target=outcome_of, args=[lambda: stub.Echo(echo_request())], name="caller"
        )
        thread.start()
        time.sleep(0.5)
        is_free.set()
        waited_for(lambda: callers.total() == count)
        return [callers["caller"], callers.total()]


def test_thread_whose_write_meets_a_reset_runs_no_callbacks_of_others() -> None:
    assert run_in_child(callbacks_that_a_blocking_call_runs_at_a_reset) == [0, 200]


def test_failures_of_many_calls_leave_room_for_a_call_of_another_connection() -> None:
    """As many calls as the test runs in a moment; tests/stress has 200,000. On a busy machine the
    other peer itself may be late, so there are three attempts."""
    found = []
    for _ in range(3):
        failures_before, failures = run_in_child(
            failures_before_a_call_of_another_connection_is_answered, FAILING
        )
        assert failures == FAILING
        found.append(failures_before)
        if failures_before < STEPS_OF_FAILURES * MAX_PER_STEP:
            return
    pytest.fail(f"{found} of {FAILING} calls failed first")


def largest_drop_of_cancelled_requests() -> int:
    """Bytes of cancelled requests that leave the queue between two looks.

    The looks are calls of another connection, which follow one another in the dispatcher's thread.
    """
    may_read, looks = threading.Event(), []
    options = pybrpc.SocketOptions(send_buffer_bytes=65536)

    def read_when_told(peer: Peer) -> None:
        may_read.wait(PATIENT_S)
        swallow(peer)

    with ScriptedServer(read_when_told) as server, ScriptedServer(echo_in_batches) as good:
        channel = echo_channel(server.address, max_retry=0, timeout=None, options=options)
        stub, other = pybrpc.Stub(ECHO, channel), echo_stub(good.address)
        other.Echo(echo_request())
        blocks = stub.Echo.future(echo_request("x" * FILLS_THE_KERNEL))
        futures = [stub.Echo.future(echo_request("x" * CANCELLED_BYTES)) for _ in range(CANCELLED)]
        for future in futures:
            future.cancel()

        def look(*_: Any) -> None:
            looks.append(channel.statistics().socket.backlog_bytes)
            if looks[-1]:
                other.Echo.with_callback(echo_request(), look)

        other.Echo.with_callback(echo_request(), look)
        wait_for(lambda: len(looks) > 10)
        may_read.set()
        wait_for(lambda: looks[-1] == 0)
        assert not blocks.done()
        queued = [max(0, look - FILLS_THE_KERNEL - 100) for look in looks]
        return max(before - after for before, after in itertools.pairwise(queued))


def test_dropping_cancelled_requests_leaves_room_for_calls_of_another_connection() -> None:
    assert run_in_child(largest_drop_of_cancelled_requests) < CANCELLED * CANCELLED_BYTES


def test_callback_may_call_again_for_ever_while_the_endpoint_is_down() -> None:
    """As many as take a moment; tests/stress has 100,000."""
    assert run_in_child(calls_begun_by_callbacks_at_an_endpoint_that_is_down, CHAIN) == CHAIN


def outcome_of_waiting_in_a_callback() -> str:
    """Call `result()` of another call's future, on the thread that must read its response."""
    found: list[str] = []
    with ScriptedServer() as server:
        stub = echo_stub(server.address)
        stub.Echo(echo_request())
        # Not the done callback of a future: that would run here if the future was done already.
        stub.Echo.with_callback(
            echo_request(),
            lambda *_: found.append(outcome_of(stub.Echo.future(echo_request()).result)),
        )
        waited_for(lambda: bool(found), LATE_S)
        return found[0] if found else "never ended"


def test_result_in_a_callback_raises_would_deadlock_error() -> None:
    assert run_in_child(outcome_of_waiting_in_a_callback) == "WouldDeadlockError"
