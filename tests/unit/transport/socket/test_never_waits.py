"""Guarantee 3 of the write path: start_write waits neither for the peer nor for others."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf, cut_multiple_into_fd
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.sockets import (
    SMALL_BUFFER,
    MakeWire,
    Wire,
    fill,
    write_instead,
)


def test_start_write_never_waits_for_an_idle_peer_or_dispatcher(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    for _ in range(5000):
        wire.socket.start_write(IOBuf(bytes(1000)))
    assert wire.socket.statistics().backlog_bytes > 4_000_000


def test_start_write_makes_at_most_one_system_call(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    calls: list[int] = []

    def counted(fd: int, bufs: list[IOBuf]) -> int:
        calls.append(fd)
        return cut_multiple_into_fd(fd, bufs)

    write_instead(monkeypatch, counted)
    wire.socket.start_write(IOBuf(bytes(1 << 20)))
    assert len(calls) == 1
    wire.socket.start_write(IOBuf(bytes(1 << 20)))
    assert len(calls) == 1


@pytest.mark.python_only
def test_start_write_takes_as_many_steps_however_much_is_queued(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    fill(wire.socket)
    few = lines_run_by_a_write(wire)
    for _ in range(2000):
        wire.socket.start_write(IOBuf(b"queued"))
    assert lines_run_by_a_write(wire) == few


def lines_run_by_a_write(wire: Wire) -> int:
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        wire.socket.start_write(IOBuf(b"one more"))
    finally:
        sys.settrace(before)
    return lines
