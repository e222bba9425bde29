"""Times while many calls of one connection end, and while many queued requests are freed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.times.found import Found
from bench.times.site import LIMIT_S, Site, request, tell
from pybrpc import Endpoint, ErrorCode, IOBuf
from pybrpc.errors import RpcTimeoutError, make_rpc_error
from pybrpc.lowlevel import Socket, default_runtime

OTHERS_MS = 50.0
"""The aim for calls of other connections."""

PRODUCER_MS = 1.0
"""The aim for a thread whose write meets a reset."""

BUSY_S = 0.2


class Ends:
    """Counts calls that have ended; `is_over` is set when all have."""

    def __init__(self, count: int) -> None:
        self.is_over = threading.Event()
        self._left = count

    def __call__(self, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            self.is_over.set()


def timed_ms(function: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    function()
    return (time.perf_counter() - started_at) * 1000


def begin_calls(stub: Any, ends: Ends, count: int) -> None:
    for _ in range(count):
        stub.Echo.with_callback(request(), ends)


def broken_connection(site: Site, count: int) -> Iterator[Found]:
    """`count` calls wait when the peer resets their connection."""
    peer, address = site.silent_peer()
    stub, ends = site.stub(address, max_retry=0), Ends(count)
    with site.probe() as probe:
        begin_calls(stub, ends, count)
        time.sleep(0.2)
        probe.begin()
        time.sleep(0.2)
        yield Found("other_connection_before_the_reset", probe.longest_ms)
        probe.begin()
        reset_ms = timed_ms(lambda: tell(peer, "reset"))
        ends_ms = timed_ms(lambda: ends.is_over.wait(LIMIT_S))
        yield Found("other_connection_while_the_calls_end", probe.longest_ms, OTHERS_MS)
        yield Found("end_of_all_calls", reset_ms + ends_ms)


def producer(site: Site, count: int) -> Iterator[Found]:
    """A thread writes to a connection that was reset, while `count` calls of others wait on it.

    A callback of another connection keeps the dispatcher busy, so that the write finds the reset.
    """
    peer, address = site.silent_peer()
    stub, other, ends = site.stub(address, max_retry=0), site.stub(site.echo_address()), Ends(count)
    other.Echo(request())
    begin_calls(stub, ends, count)
    time.sleep(0.5)
    is_busy = threading.Event()

    def keep_busy(*_: Any) -> None:
        is_busy.set()
        time.sleep(BUSY_S)

    other.Echo.with_callback(request(), keep_busy)
    is_busy.wait(LIMIT_S)
    tell(peer, "reset")
    last = Ends(1)
    yield Found(
        "producer_whose_write_meets_the_reset",
        timed_ms(lambda: stub.Echo.with_callback(request(), last)),
        PRODUCER_MS,
    )
    ends.is_over.wait(LIMIT_S)
    last.is_over.wait(LIMIT_S)


def queued_requests(site: Site, count: int) -> Iterator[Found]:
    """`count` messages are queued, because the peer does not read, when their socket fails."""
    peer, address = site.silent_peer()
    sock = Socket.to(Endpoint.parse(address), default_runtime().dispatcher)
    ends = Ends(count)
    sock.start_write(IOBuf(b"x"))
    tell(peer, "stop")
    sock.start_write(IOBuf(bytes(20_000_000)))
    for _ in range(count):
        sock.start_write(IOBuf(b"x" * 16), on_outcome=ends, ignore_eovercrowded=True)
    with site.probe() as probe:
        probe.begin()
        error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "the bench says so")
        yield Found("thread_that_fails_the_socket", timed_ms(lambda: sock.fail(error)), PRODUCER_MS)
        ms = timed_ms(lambda: ends.is_over.wait(LIMIT_S))
        yield Found("other_connection_while_requests_are_freed", probe.longest_ms, OTHERS_MS)
        yield Found("end_of_all_requests", ms)


def cancelled_requests(site: Site, count: int) -> Iterator[Found]:
    """`count` queued requests were cancelled when the peer begins to read again."""
    peer, address = site.silent_peer()
    stub = site.stub(address, max_retry=0)
    stub.Echo.future(request())
    tell(peer, "stop")
    blocks = stub.Echo.future(type(request())(payload=bytes(20_000_000)))
    futures = [stub.Echo.future(request()) for _ in range(count)]
    with site.probe() as probe:
        probe.begin()
        ms = timed_ms(lambda: [future.cancel() for future in futures])
        yield Found("other_connection_while_calls_are_cancelled", probe.longest_ms, OTHERS_MS)
        yield Found("cancelling_each", ms / count)
        probe.begin()
        tell(peer, "read")
        time.sleep(1.0)
        yield Found("other_connection_while_requests_are_dropped", probe.longest_ms, OTHERS_MS)
    blocks.cancel()


def slow_callback(site: Site, count: int) -> Iterator[Found]:
    """One callback sleeps for `count` ms."""
    address = site.echo_address()
    stub, ends = site.stub(address), Ends(1)
    _, silent = site.silent_peer()
    waiting = site.stub(silent, max_retry=0)
    timeout_s = count / 4000

    def wait() -> None:
        with contextlib.suppress(RpcTimeoutError):
            waiting.Echo(request(), timeout=timeout_s)

    def sleep(*_: Any) -> None:
        time.sleep(count / 1000)
        ends()

    with site.probe(address) as probe:
        wait()
        stub.Echo.with_callback(request(), sleep)
        time.sleep(0.05)
        probe.begin()
        late_ms = max(0.0, timed_ms(wait) - timeout_s * 1000)
        ends.is_over.wait(LIMIT_S)
        yield Found("calls_while_a_callback_sleeps", probe.longest_ms)
        yield Found("deadline_while_a_callback_sleeps", late_ms, OTHERS_MS)
