"""Callbacks and failures of many calls take turns with the calls of others."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from typing import Any

import pytest

import pybrpc
from tests.cases.child import run_in_child
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
from tests.peers.scripted_server import Peer, Script, ScriptedServer, closed_port

CALLS = 5_000
FILLS_THE_KERNEL = 10_000_000
"""Bytes; more than a connection takes whose peer does not read."""
CANCELLED_BYTES = 200


def reset_when(event: threading.Event) -> Script:
    """A script for ScriptedServer: resets its connection at the event; reads nothing before."""

    def script(peer: Peer) -> None:
        event.wait(PATIENT_S)
        peer.reset()

    return script


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


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="the call hears of its failure only when the callback of the other call has returned",
)
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


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="the thread whose write meets the reset runs the callbacks of all other calls",
)
def test_thread_whose_write_meets_a_reset_runs_no_callbacks_of_others() -> None:
    assert run_in_child(callbacks_that_a_blocking_call_runs_at_a_reset) == [0, 200]


def failures_before_a_call_of_another_connection_is_answered() -> list[int]:
    """The call begins with the first failure of many; and how many failures there are at all."""
    reset, seen = threading.Event(), []
    failures = 0
    with ScriptedServer(reset_when(reset)) as server, ScriptedServer() as good:
        stub, other = (
            echo_stub(address, max_retry=0) for address in (server.address, good.address)
        )
        other.Echo(echo_request())

        def on_failure(*_: Any) -> None:
            nonlocal failures
            failures += 1
            if failures == 1:
                other.Echo.with_callback(echo_request(), lambda *_: seen.append(failures))

        for _ in range(CALLS):
            stub.Echo.with_callback(echo_request(), on_failure)
        reset.set()
        waited_for(lambda: failures == CALLS and bool(seen))
        return [*seen, failures]


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="all calls of a failed connection end in one turn, in which nobody else is served",
)
def test_failures_of_many_calls_leave_room_for_a_call_of_another_connection() -> None:
    failures_before, failures = run_in_child(
        failures_before_a_call_of_another_connection_is_answered
    )
    assert failures == CALLS
    assert failures_before < CALLS


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
        futures = [stub.Echo.future(echo_request("x" * CANCELLED_BYTES)) for _ in range(2 * CALLS)]
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


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="all cancelled requests are dropped in one turn, in which nobody else is served",
)
def test_dropping_cancelled_requests_leaves_room_for_calls_of_another_connection() -> None:
    assert run_in_child(largest_drop_of_cancelled_requests) < 2 * CALLS * CANCELLED_BYTES


def calls_begun_by_callbacks_at_an_endpoint_that_is_down(count: int) -> int:
    begun = 0
    with closed_port() as address:
        stub = echo_stub(address, max_retry=0)

        def call_again(*_: Any) -> None:
            nonlocal begun
            begun += 1
            if begun < count:
                stub.Echo.with_callback(echo_request(), call_again)

        call_again()
        waited_for(lambda: begun == count, LATE_S)
        return begun


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="the calls end silently by a RecursionError after 982 of them (97 with a future)",
)
def test_callback_may_call_again_for_ever_while_the_endpoint_is_down() -> None:
    assert run_in_child(calls_begun_by_callbacks_at_an_endpoint_that_is_down, 2000) == 2000


def outcome_of_waiting_in_a_callback() -> str:
    """Call `result()` of another call's future, on the thread that must read its response."""
    found: list[str] = []
    with ScriptedServer() as server:
        stub = echo_stub(server.address)
        stub.Echo(echo_request())
        stub.Echo.future(echo_request()).add_done_callback(
            lambda _: found.append(outcome_of(stub.Echo.future(echo_request()).result))
        )
        waited_for(lambda: bool(found), LATE_S)
        return found[0] if found else "never ended"


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="result() blocks the dispatcher thread for ever"
)
def test_result_in_a_callback_raises_would_deadlock_error() -> None:
    assert run_in_child(outcome_of_waiting_in_a_callback) == "WouldDeadlockError"
