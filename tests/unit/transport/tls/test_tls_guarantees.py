"""The guarantees of the write path with TLS, where it is not the layer's tests that show them.

1, order, and 2, exactly once: tests/stress/test_tls_write_path.py. 5, no lost wake-up:
test_tls_layer.py, test_tls_layer_reading.py. 9: test_tls_layer_ends.py. What "written" means:
test_tls_layer.py. 10: test_tls_handshake.py, test_tls_handshake_server.py.
"""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from pybrpc.errors import ErrorCode, OvercrowdedError, Phase, RpcCanceledError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.write_request import WriteRequest
from tests.fakes.frames import frame, frames_of
from tests.fakes.sockets import (
    SMALL_BUFFER,
    Interruption,
    MakeStep,
    MakeWire,
    Outcomes,
    UserMessage,
    Wire,
)
from tests.fakes.threads import WAIT_S, in_threads
from tests.fakes.tls_sockets import Encrypted, client_layer, encrypted
from tests.peers.tls import as_server, certificates

LIMITED = SocketOptions(high_water_bytes=100_000, low_water_bytes=20_000)


def running(dispatcher: EventDispatcher, make_wire: MakeWire) -> Wire:
    """A client whose peer is Python's ssl, the handshake over."""
    wire = make_wire(dispatcher, layer=client_layer())
    far = as_server(wire.peer, certificates().server_context())
    wire.peer = far
    far.do_handshake()
    return wire


# --- 3 and 4: start_write ---


def test_write_makes_no_system_call(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, told = encrypted(step, make_wire), Outcomes()
    calls: list[str] = []

    def note(name: str, real: object) -> None:
        monkeypatch.setattr(os, name, lambda *a: calls.append(name) or real(*a))  # type: ignore

    for name in ("write", "writev", "read", "readv"):
        note(name, getattr(os, name))
    near.write(b"x", told)
    assert calls == []
    assert near.read() == b"x"
    assert calls != []


@pytest.mark.slow
@pytest.mark.python_only
@pytest.mark.parametrize("is_waiting", [False, True])
def test_start_write_over_tls_is_reentrant_at_every_bytecode(
    make_step: MakeStep, make_wire: MakeWire, is_waiting: bool
) -> None:
    moment = 0
    happened = True
    while happened:
        moment += 1
        step, told = make_step(), Outcomes()
        near = encrypted(step, make_wire)
        if is_waiting:
            near.write(bytes(100_000), Outcomes())
            step.run_until_idle()
        interruption = Interruption(moment, lambda n=near, t=told: n.write(frame(0, 1), t))
        with interruption:
            near.write(frame(0, 0), told)
        happened = interruption.happened
        near.write(frame(0, 2), told)
        data = near.read()[100_000 if is_waiting else 0 :]
        numbers = [number for _, number in frames_of(data)]
        assert sorted(numbers) == ([0, 1, 2] if happened else [0, 2])
        assert numbers.index(0) < numbers.index(2)
        assert told.take(len(numbers)) == [None] * len(numbers)
        assert near.socket.backlog.size_bytes == 0
        near.socket.close()
        step.run_until_idle()
    assert moment > 50


def test_outcome_and_destructor_may_write_over_tls(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    wire, over = running(dispatcher, make_wire), threading.Event()
    left = 300

    class Next:
        def __call__(self, error: RpcError | None) -> None:
            nonlocal left
            left -= 1
            if error is not None or not left:
                over.set()
            else:
                wire.socket.start_write(IOBuf(b"n"), on_outcome=Next(), notify_on_success=True)

        def __del__(self) -> None:
            wire.socket.start_write(IOBuf(b"d"))

    def run(index: int) -> None:
        if index == 0:
            Next()(None)
            assert over.wait(WAIT_S)
        else:
            data = wire.receive(299 + 300)
            assert (data.count(b"n"), data.count(b"d")) == (299, 300)

    in_threads(2, run)


# --- 7: bounded ---


def test_encrypted_bytes_that_are_not_written_count(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, layer=client_layer(), options=LIMITED)
    near, told, count = Encrypted(wire, step), Outcomes(), 0
    with contextlib.suppress(OvercrowdedError):
        while True:
            near.write(bytes(1000), told)
            step.run_until_idle()
            count += 1
    held = near.socket.backlog.size_bytes
    assert LIMITED.high_water < held <= LIMITED.high_water + 1000
    assert len(near.read()) == count * 1000
    near.write(b"room again", told)
    assert near.read() == b"room again"
    assert told.take(count + 1) == [None] * (count + 1)


# --- 8: a message that can't be turned into bytes ---


def test_message_that_raises_fails_alone_over_tls(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    near, told, reason = encrypted(step, make_wire), Outcomes(), ValueError("Invalid input")
    for content in (b"before ", reason, b"after"):
        near.socket.start_write(UserMessage(content), on_outcome=told, notify_on_success=True)
    assert near.read() == b"before after"
    (error,) = [error for error in told.take(3) if error is not None]
    assert (error.code, error.phase, error.__cause__) == (ErrorCode.EINVAL, Phase.QUEUED, reason)
    assert not near.socket.is_failed


# --- cancelling ---


def test_message_cancelled_before_it_is_encrypted_is_dropped_and_a_begun_one_goes_on(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    near, told = encrypted(step, make_wire), [Outcomes() for _ in range(3)]
    requests = [
        WriteRequest(IOBuf(bytes([number]) * 200_000), None, outcome, True)
        for number, outcome in enumerate(told)
    ]
    for request in requests:
        near.socket.write_request(request)
    step.run_until_idle()
    assert [request.phase for request in requests] == [Phase.SENT, Phase.SENT, Phase.QUEUED]
    for request in requests:
        request.cancel()
    assert near.read() == bytes(200_000) + b"\x01" * 200_000
    assert told[0].take() + told[1].take() == [None, None]
    assert isinstance(told[2].take_error(), RpcCanceledError)
    assert near.socket.backlog.requests == 0
