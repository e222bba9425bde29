"""SlowPeers: which connections are closed because their peers take too little."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from pybrpc.errors import ErrorCode, OvercrowdedError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.interfaces import PlainLayer
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing import slow_peers as slow_peers_module
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from pybrpc.transport.writing.slow_peers import (
    CHECK_S,
    MIN_QUEUED_BYTES,
    RATE_WINDOW_S,
    Progress,
    SlowPeers,
    unacknowledged_bytes,
)
from tests.fakes.sockets import (
    SMALL_BUFFER,
    MakeStep,
    MakeWire,
    Outcomes,
    User,
    Wire,
    fill,
    make_pair,
)
from tests.peers.frame_layer import FrameLayer

STALL_S = 60.0
MUCH = 300_000


def blocked(
    make_wire: MakeWire, step: StepDispatcher, size: int = MUCH, kind: str = "unix", **setup: Any
) -> Wire:
    """A wire with more than `size` bytes queued, of which the kernel takes no more.

    A Unix socket: what TCP acknowledges late would come without a step of the clock of the test.
    """
    wire = make_wire(step, kind=kind, buffer_bytes=SMALL_BUFFER, **setup)
    fill(wire.socket, size)
    step.run_until_idle()
    return wire


def pass_s(step: StepDispatcher, seconds: float) -> None:
    for _ in range(round(seconds / CHECK_S)):
        step.advance(CHECK_S)


# --- nothing is taken ---


def test_peer_that_takes_nothing_for_a_minute_is_given_up(
    step: StepDispatcher, make_wire: MakeWire, caplog: pytest.LogCaptureFixture
) -> None:
    user, told = User(), Outcomes()
    wire = blocked(make_wire, step, user=user)
    wire.socket.start_write(IOBuf(b"x"), on_outcome=told)
    pass_s(step, STALL_S)
    assert not wire.socket.is_failed
    with caplog.at_level(logging.WARNING, "pybrpc"):
        pass_s(step, 2)
    error = user.take_error()
    assert error.code == ErrorCode.ETIMEDOUT
    assert isinstance(error, ConnectionError)
    assert "the peer has taken nothing for 60.0 s, while " in error.text
    assert " bytes are queued for it" in error.text
    assert told.take_error().text == error.text
    assert error.text in caplog.text
    assert wire.socket.fd == -1


def test_peer_that_takes_something_now_and_then_is_kept(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = blocked(make_wire, step, size=20 * MUCH)
    for _ in range(20):
        pass_s(step, STALL_S - 2)
        wire.peer.recv(1 << 16)
        step.run_until_idle()
    assert not wire.socket.is_failed
    pass_s(step, STALL_S + 2)
    assert wire.socket.is_failed


def test_peer_for_which_little_is_queued_may_take_nothing(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = blocked(make_wire, step, size=MIN_QUEUED_BYTES // 2 - 1)
    assert 0 < wire.socket.backlog.size_bytes <= MIN_QUEUED_BYTES
    pass_s(step, 3 * STALL_S)
    assert not wire.socket.is_failed
    wire.socket.start_write(IOBuf(bytes(MIN_QUEUED_BYTES)))
    pass_s(step, STALL_S)
    assert not wire.socket.is_failed, "the time begins when much is queued"
    pass_s(step, 2)
    assert wire.socket.is_failed


@pytest.mark.parametrize(("timeout_s", "is_closed"), [(5.0, True), (0, False), (math.inf, False)])
def test_time_without_progress_is_an_option(
    step: StepDispatcher, make_wire: MakeWire, timeout_s: float, is_closed: bool
) -> None:
    options = SocketOptions(write_stall_timeout_s=timeout_s)
    wire = blocked(make_wire, step, options=options)
    pass_s(step, 7)
    assert wire.socket.is_failed == is_closed
    pass_s(step, 10 * STALL_S)
    assert wire.socket.is_failed == is_closed


def test_layer_that_waits_for_credit_is_no_slow_peer(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, layer=FrameLayer(credit_bytes=5))
    wire.socket.start_write(IOBuf(bytes(MUCH)))
    step.run_until_idle()
    pass_s(step, 2 * STALL_S)
    assert wire.socket.backlog.size_bytes > MIN_QUEUED_BYTES
    assert not wire.socket.is_failed


class CreditLayer(PlainLayer):
    """A layer that sends as much as the peer has allowed, and says when that is used up."""

    def __init__(self, credit_bytes: int) -> None:
        self.credit_bytes = credit_bytes

    @property
    def lacks_credit(self) -> bool:
        return self.credit_bytes == 0

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        if self.lacks_credit:
            raise OvercrowdedError("the peer allows no more")
        part = pieces[0].copy()
        part.pop_back(max(0, len(part) - self.credit_bytes))
        taken = super().cut_into_fd(fd, [part])
        pieces[0].pop_front(taken)
        self.credit_bytes -= taken
        return taken


def test_peer_that_gives_no_credit_for_a_minute_is_given_up(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, layer=CreditLayer(5), user=user)
    wire.socket.start_write(IOBuf(bytes(MUCH)))
    step.run_until_idle()
    pass_s(step, STALL_S - 1)
    assert not wire.socket.is_failed
    pass_s(step, 3)
    error = user.take_error()
    assert error.code == ErrorCode.ETIMEDOUT
    assert "the peer has given no credit for 60.0 s, while " in error.text


def test_peer_that_gives_a_little_credit_now_and_then_is_kept(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    layer = CreditLayer(5)
    wire = make_wire(step, layer=layer)
    wire.socket.start_write(IOBuf(bytes(MUCH)))
    step.run_until_idle()
    for _ in range(4):
        pass_s(step, STALL_S - 2)
        wire.peer.recv(100)
        layer.credit_bytes = 1
    assert not wire.socket.is_failed
    pass_s(step, STALL_S + 2)
    assert wire.socket.is_failed


# --- little is taken ---


class SlowReaders:
    """Wires with much queued, the peers of which take what the test says; its process may queue
    `limit_bytes`."""

    def __init__(
        self,
        make_wire: MakeWire,
        step: StepDispatcher,
        monkeypatch: pytest.MonkeyPatch,
        limit_bytes: int | None,
        *rates: int,
        **options: Any,
    ) -> None:
        self._step = step
        self._rates = rates
        process = ProcessBacklog(limit_bytes)
        self.wires = [
            blocked(make_wire, step, process_backlog=process, options=SocketOptions(**options))
            for _ in rates
        ]
        self._unacknowledged = {wire.socket.fd: 10_000_000 for wire in self.wires}
        monkeypatch.setattr(
            slow_peers_module, "unacknowledged_bytes", self._unacknowledged.__getitem__
        )

    def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            for wire, rate in zip(self.wires, self._rates, strict=True):
                self._unacknowledged[wire.socket.fd] = (
                    self._unacknowledged.get(wire.socket.fd, 0) - rate
                )
            pass_s(self._step, 1)

    @property
    def are_closed(self) -> list[bool]:
        return [wire.socket.is_failed for wire in self.wires]


def test_slow_peers_are_given_up_while_the_process_is_half_full(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = SlowReaders(make_wire, step, monkeypatch, 5 * MUCH, 1023, 1024, 0)
    readers.pass_s(int(RATE_WINDOW_S))
    assert readers.are_closed == [False] * 3, "the rate is not known yet"
    readers.pass_s(2)
    assert readers.are_closed == [True, False, True]
    error = readers.wires[0].socket.error
    assert error is not None
    assert "the peer takes 1023 bytes a second, while " in error.text
    assert f"of max_queued_bytes={5 * MUCH} on all connections" in error.text


@pytest.mark.parametrize("limit_bytes", [20 * MUCH, None])
def test_slow_peers_are_kept_while_the_process_is_not_half_full(
    step: StepDispatcher,
    make_wire: MakeWire,
    monkeypatch: pytest.MonkeyPatch,
    limit_bytes: int | None,
) -> None:
    readers = SlowReaders(make_wire, step, monkeypatch, limit_bytes, 1, 1)
    readers.pass_s(3 * int(STALL_S))
    assert readers.are_closed == [False, False]


@pytest.mark.parametrize(("rate", "is_closed"), [(0, False), (100, True)])
def test_rate_is_an_option(
    step: StepDispatcher,
    make_wire: MakeWire,
    monkeypatch: pytest.MonkeyPatch,
    rate: int,
    is_closed: bool,
) -> None:
    options = {"min_write_bytes_per_s": rate}
    readers = SlowReaders(make_wire, step, monkeypatch, MUCH, 99, 100, **options)
    readers.pass_s(50)
    assert readers.are_closed == [is_closed, False]


def test_rate_is_that_of_the_last_seconds() -> None:
    progress = Progress()
    for second in range(20):
        progress.note(1000 * min(second, 10), float(second))
        if second < RATE_WINDOW_S:
            assert progress.bytes_per_s() == math.inf
        elif second <= 10:
            assert progress.bytes_per_s() == 1000
    assert progress.bytes_per_s() == 0
    assert progress.stalled_s(20.0) == 10
    progress.reset()
    progress.note(10_000, 21.0)
    assert (progress.bytes_per_s(), progress.stalled_s(21.0)) == (math.inf, 0)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_kernel_says_what_a_peer_has_not_acknowledged(
    step: StepDispatcher, make_wire: MakeWire, kind: str
) -> None:
    """So a peer that reads slowly is seen to read before the kernel has room for more."""
    wire = blocked(make_wire, step, kind=kind)
    before = unacknowledged_bytes(wire.socket.fd)
    assert before > 0
    writes = wire.socket.statistics().writes
    while unacknowledged_bytes(wire.socket.fd) >= before:
        wire.peer.recv(100)
    assert wire.socket.statistics().writes == writes


def test_kernel_says_nothing_about_what_is_no_socket() -> None:
    with open(os.devnull) as file:
        assert unacknowledged_bytes(file.fileno()) == 0


# --- the watch ---


def live_timers(step: StepDispatcher) -> int:
    return sum(timer.function is not None for timer in step._timers)


def test_connections_share_a_timer_and_there_is_none_once_nobody_waits(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step)
    wire.socket.start_write(IOBuf(b"taken at once"))
    step.run_until_idle()
    assert live_timers(step) == 0
    wires = [blocked(make_wire, step) for _ in range(3)]
    assert live_timers(step) == 1
    pass_s(step, 3)
    assert live_timers(step) == 1
    for each in wires:
        each.peer.setblocking(False)
        while step.run_until_idle() or each.socket.backlog.size_bytes:
            try:
                each.peer.recv(1 << 20)
            except BlockingIOError:
                continue
    pass_s(step, 1)
    assert live_timers(step) == 0
    again = blocked(make_wire, step)
    pass_s(step, STALL_S + 2)
    assert again.socket.is_failed


def test_watch_keeps_no_socket(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = blocked(make_wire, step)
    known = weakref.ref(wire.socket)
    wire.socket.close()
    step.run_until_idle()
    wire.peer.close()
    wire.socket = None  # type: ignore[assignment]
    assert known() is None
    pass_s(step, 1)
    wire.socket = make_wire(step).socket  # closed at the end of the test


def test_watch_keeps_no_dispatcher() -> None:
    """A loop may end while its connections wait."""

    async def block() -> tuple[weakref.ref[Any], weakref.ref[Any]]:
        dispatcher = AsyncioDispatcher(asyncio.get_running_loop())
        near, far = make_pair(buffer_bytes=SMALL_BUFFER)
        with far:
            socket = Socket.of(near, dispatcher)
            await asyncio.sleep(0)
            fill(socket, MUCH)
            while dispatcher not in slow_peers_module._slow_peers:
                await asyncio.sleep(0.001)
            return weakref.ref(dispatcher), weakref.ref(socket)

    dispatcher, socket = asyncio.run(block())
    gc.collect()
    assert (dispatcher(), socket()) == (None, None)


def test_fault_in_one_check_keeps_no_other_from_being_made(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, first = slow_peers_module.why_too_slow, blocked(make_wire, step)

    def fail_for_first(socket: Any, *rest: Any) -> Any:
        if socket is first.socket:
            raise SystemExit
        return real(socket, *rest)

    monkeypatch.setattr(slow_peers_module, "why_too_slow", fail_for_first)
    second = blocked(make_wire, step)
    pass_s(step, STALL_S + 2)
    assert (first.socket.is_failed, second.socket.is_failed) == (False, True)
    assert live_timers(step) == 1


@pytest.mark.python_only
def test_watch_on_a_closed_dispatcher_does_nothing(
    make_step: MakeStep, make_wire: MakeWire
) -> None:
    watch, step = SlowPeers(), make_step()
    wire = make_wire(step)
    step.run_until_idle()
    step.close()
    watch.add(wire.socket._writer._wait, wire.socket)
    assert repr(watch) == "<SlowPeers 1 connections wait for their peers>"
