"""Guarantee 1 of the write path: messages are whole, and in one order for all producers."""

from __future__ import annotations

import contextlib
import random
import socket as plain

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.frames import by_producer, frame, frames_of
from tests.fakes.sockets import SMALL_BUFFER, MakeStep, MakeWire
from tests.fakes.threads import in_threads

PRODUCERS = 4


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_messages_arrive_whole_and_in_the_order_of_each_producer(
    dispatcher: EventDispatcher, make_wire: MakeWire, kind: str
) -> None:
    each = 250
    rng = random.Random(7)
    sizes = [rng.choice((0, 1, 30, 900, 9000)) for _ in range(each)]
    wire = make_wire(dispatcher, kind=kind, buffer_bytes=SMALL_BUFFER)
    total = PRODUCERS * sum(len(frame(0, 0, size)) for size in sizes)

    def produce(index: int) -> None:
        for number, size in enumerate(sizes):
            wire.socket.start_write(IOBuf(frame(index, number, size)))

    in_threads(PRODUCERS, produce)
    assert by_producer(frames_of(wire.receive(total))) == {
        index: list(range(each)) for index in range(PRODUCERS)
    }
    assert wire.socket.statistics().handed_over > 0


def test_messages_keep_order_when_the_first_write_connects(
    dispatcher: EventDispatcher,
) -> None:
    each = 100
    with plain.create_server(("127.0.0.1", 0)) as listener:
        near = Socket.to(Endpoint.from_sockaddr(listener.getsockname()), dispatcher)

        def produce(index: int) -> None:
            for number in range(each):
                near.start_write(IOBuf(frame(index, number)))

        in_threads(PRODUCERS, produce)
        accepted = listener.accept()[0]
        with accepted, accepted.makefile("rb") as stream:
            data = stream.read(PRODUCERS * each * len(frame(0, 0)))
        near.close()
    assert by_producer(frames_of(data)) == {index: list(range(each)) for index in range(PRODUCERS)}


@pytest.mark.parametrize("flushes_at_turn_end", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_messages_keep_their_order_in_every_schedule(
    make_step: MakeStep, make_wire: MakeWire, seed: int, flushes_at_turn_end: bool
) -> None:
    step = make_step(seed, flushes_at_turn_end=flushes_at_turn_end)
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    rng = random.Random(seed)
    received = bytearray()
    wire.peer.setblocking(False)
    for number in range(200):
        data = IOBuf(frame(number % 2, number, rng.choice((0, 10, 3000))))
        if rng.random() < 0.5:
            wire.socket.start_write(data)
        else:
            step.post(lambda data=data: wire.socket.start_write(data))
            step.run_until_idle()
        if rng.random() < 0.3:
            step.step()
        if rng.random() < 0.1:
            with contextlib.suppress(BlockingIOError):
                received += wire.peer.recv(2000)
    while wire.socket.backlog.size_bytes:
        with contextlib.suppress(BlockingIOError):
            received += wire.peer.recv(1 << 16)
        step.run_until_idle()
    with contextlib.suppress(BlockingIOError):
        while True:
            received += wire.peer.recv(1 << 16)
    assert [number for _, number in frames_of(bytes(received))] == list(range(200))
