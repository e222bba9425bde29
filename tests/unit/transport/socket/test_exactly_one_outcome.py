"""Guarantee 2 of the write path: each request ends in exactly one outcome."""

from __future__ import annotations

import contextlib
import os
import random
import socket as plain

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.dispatchers import running_dispatcher
from tests.fakes.frames import frame, frames_of
from tests.fakes.sockets import SMALL_BUFFER, MakeStep, MakeWire, Outcomes, User, write_instead
from tests.fakes.threads import in_threads

PRODUCERS = 4


def failure() -> RpcError:
    return make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so")


@pytest.mark.parametrize("round_", range(5))
def test_each_request_has_one_outcome_when_the_socket_fails_meanwhile(
    dispatcher: EventDispatcher, make_wire: MakeWire, round_: int
) -> None:
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER)
    each = 200
    told = [[Outcomes() for _ in range(each)] for _ in range(PRODUCERS)]
    accepted: list[list[int]] = [[] for _ in range(PRODUCERS)]
    received: list[bytes] = []

    def produce(index: int) -> None:
        if index == PRODUCERS:
            received.append(wire.receive(30_000 * round_))
            wire.socket.fail(failure())
            received.append(wire.receive_all())
            return
        for number, outcome in enumerate(told[index]):
            with contextlib.suppress(RpcError):
                wire.socket.start_write(
                    IOBuf(frame(index, number, 200)), on_outcome=outcome, notify_on_success=True
                )
                accepted[index].append(number)

    in_threads(PRODUCERS + 1, produce)
    written = set()
    for index, numbers in enumerate(accepted):
        for number in numbers:
            if told[index][number].take() == [None]:
                written.add((index, number))
    frames = list(frames_of(b"".join(received)))
    assert len(frames) == len(set(frames))
    assert set(frames) == written
    assert [outcome.untaken for line in told for outcome in line] == [0] * (PRODUCERS * each)
    assert wire.socket.backlog.size_bytes == 0


@pytest.mark.parametrize("seed", range(40))
def test_each_request_has_one_outcome_when_failure_races_with_connect(
    make_step: MakeStep, seed: int
) -> None:
    step = make_step(seed)
    rng = random.Random(seed)
    user, told = User(), Outcomes()
    with plain.create_server(("127.0.0.1", 0)) as listener:
        near = Socket.to(Endpoint.from_sockaddr(listener.getsockname()), step, user=user)
        accepted = 0
        fails_at = rng.randrange(8)
        for moment in range(10):
            if moment == fails_at:
                near.fail(failure())
            with contextlib.suppress(RpcError):
                near.start_write(IOBuf(b"x"), on_outcome=told, notify_on_success=True)
                accepted += 1
            for _ in range(rng.randrange(3)):
                step.step()
        step.run_until_idle()
    assert told.untaken == accepted
    assert user.errors.qsize() == 1
    assert (near.fd, near.backlog.size_bytes) == (-1, 0)


def test_resource_error_while_writing_reaches_every_request(
    make_step: MakeStep, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make_step()
    wire, told = make_wire(step), Outcomes()
    step.post(lambda: [wire.socket.start_write(IOBuf(b"x"), on_outcome=told) for _ in range(3)])

    def no_memory(fd: int, bufs: list[IOBuf]) -> int:
        raise MemoryError

    write_instead(monkeypatch, no_memory)
    step.run_until_idle()
    assert wire.socket.is_failed
    assert told.untaken == 3
    assert wire.socket.fd == -1
    step.raised.clear()


def test_write_interrupted_in_its_system_call_is_not_reported_as_unsent(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, told = make_wire(step), Outcomes()

    def write_and_be_interrupted(fd: int, bufs: list[IOBuf]) -> int:
        os.write(fd, b"".join(map(bytes, bufs)))
        raise KeyboardInterrupt

    write_instead(monkeypatch, write_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        wire.socket.start_write(IOBuf(b"sent all the same"), on_outcome=told)
    assert wire.receive(17) == b"sent all the same"
    step.run_until_idle()
    assert told.take_error().phase == "sent"


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
def test_each_request_has_one_outcome_after_the_dispatcher_has_ended(
    kind: str, make_wire: MakeWire
) -> None:
    with running_dispatcher(kind) as dispatcher:
        wire, told = make_wire(dispatcher, user=User()), Outcomes()
    with contextlib.suppress(RpcError):
        for _ in range(3):
            wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    assert told.untaken == 3 or wire.socket.is_failed
    wire.socket.close()
    assert (wire.socket.fd, wire.socket.backlog.size_bytes) == (-1, 0)
