"""ConnectionLayer, by its user in these tests: frames with a length, a checksum and credit."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable, Iterator

import pytest

from pybrpc.errors import ErrorCode, ProtocolError, WriteShutdownError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.interfaces import PLAIN
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.writable_wait import LAYER_PAUSE_S
from pybrpc.transport.writing.write_request import WriteRequest
from tests.fakes.frames import by_producer, frame, frames_of
from tests.fakes.sockets import SMALL_BUFFER, MakeStep, MakeWire, Outcomes, User, make_pair
from tests.fakes.threads import in_threads
from tests.peers.frame_layer import BYTES, END, HEADER, FrameLayer, pack_frame

IN_BACKGROUND = pytest.mark.parametrize("in_background", [False, True])


def message(number: int, size: int = 10) -> bytes:
    request = RpcRequest(number, "service", "method", bytes(size))
    return bytes(BAIDU_STD.pack_request(request))


def unframed(data: bytes) -> bytes:
    """The contents of whole frames; the frame that says the end is the last."""
    content = bytearray()
    while data:
        size, _, kind = HEADER.unpack_from(data)
        assert kind == (END if len(data) == HEADER.size else BYTES)
        content += data[HEADER.size : HEADER.size + size]
        data = data[HEADER.size + size :]
    return bytes(content)


class Layered:
    """Two Sockets with a FrameLayer each, at the two ends of a pair."""

    def __init__(self, dispatcher: EventDispatcher, near: FrameLayer, far: FrameLayer) -> None:
        ends = make_pair("unix", SMALL_BUFFER)
        self.users = User(), User()
        self.near, self.far = (
            Socket.of(end, dispatcher, user=user, layer=layer)
            for end, user, layer in zip(ends, self.users, (near, far), strict=True)
        )

    def close(self) -> None:
        self.near.close()
        self.far.close()


MakePair = Callable[[EventDispatcher, FrameLayer, FrameLayer], Layered]


@pytest.fixture
def make_pair_of(make_wire: MakeWire) -> Iterator[MakePair]:
    """Makes pairs that are closed before their dispatcher is, as wires are."""
    with contextlib.ExitStack() as stack:

        def make(dispatcher: EventDispatcher, near: FrameLayer, far: FrameLayer) -> Layered:
            made = Layered(dispatcher, near, far)
            stack.callback(made.close)
            return made

        yield make


@IN_BACKGROUND
def test_bytes_go_through_the_layer_in_order(
    dispatcher: EventDispatcher, make_wire: MakeWire, in_background: bool
) -> None:
    layer = FrameLayer(writes_in_background=in_background)
    wire, told = make_wire(dispatcher, layer=layer), Outcomes()
    each = 200

    def produce(index: int) -> None:
        for number in range(each):
            data = IOBuf(frame(index, number, 50))
            wire.socket.start_write(data, on_outcome=told, notify_on_success=True)

    in_threads(4, produce)
    wire.socket.start_write(IOBuf(), shutdown_write=True)
    found = by_producer(frames_of(unframed(wire.receive_all())))
    assert found == {index: list(range(each)) for index in range(4)}
    assert told.take(4 * each) == [None] * 4 * each
    assert layer.said == ["finish"]


def test_a_layer_that_writes_in_background_is_never_called_by_the_producer(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    layer = FrameLayer(writes_in_background=True)
    wire = make_wire(step, layer=layer)
    step.run_until_idle()
    for _ in range(3):
        step.clock.advance(1)
        wire.socket.start_write(IOBuf(b"x"))
        assert wire.socket.statistics().bytes_written == 0
    step.run_until_idle()
    assert unframed(wire.receive(HEADER.size + 3)) == b"xxx"


@IN_BACKGROUND
def test_a_layer_without_room_is_asked_again_after_a_pause_and_nothing_fails(
    step: StepDispatcher, make_wire: MakeWire, in_background: bool
) -> None:
    layer = FrameLayer(5, writes_in_background=in_background)
    wire, told = make_wire(step, layer=layer), Outcomes()
    step.run_until_idle()
    for content in (b"12345", b"67890"):
        wire.socket.start_write(IOBuf(content), on_outcome=told, notify_on_success=True)
    step.run_until_idle()
    assert told.untaken == 1
    for _ in range(3):
        refused = layer.refused
        step.advance(LAYER_PAUSE_S)
        assert layer.refused == refused + 1
    layer.credit_bytes += 3
    step.advance(LAYER_PAUSE_S)
    assert told.untaken == 1
    layer.credit_bytes += 100
    step.advance(LAYER_PAUSE_S)
    assert told.take(2) == [None, None]
    wire.socket.start_write(IOBuf(), shutdown_write=True)
    step.advance(LAYER_PAUSE_S)
    assert unframed(wire.receive_all()) == b"1234567890"


def test_socket_that_fails_while_its_layer_has_no_room_reports_to_everybody(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    layer = FrameLayer(3)
    wire, told = make_wire(step, layer=layer), Outcomes()
    step.run_until_idle()
    for _ in range(3):
        wire.socket.start_write(IOBuf(b"12345"), on_outcome=told)
    step.run_until_idle()
    wire.socket.close()
    step.run_until_idle()
    errors = told.take(3)
    assert [error and error.phase for error in errors] == ["sent", "queued", "queued"]
    assert {error and error.code for error in errors} == {ErrorCode.ECLOSE}
    assert (wire.socket.fd, layer.said) == (-1, ["close"])
    step.advance(LAYER_PAUSE_S)


@pytest.mark.parametrize("seed", range(20))
def test_messages_and_credits_flow_both_ways_in_any_schedule(
    make_step: MakeStep, make_pair_of: MakePair, seed: int
) -> None:
    """Each side's reading makes its layer say something, which must not wait for a message."""
    rng = random.Random(seed)
    step = make_step(seed, flushes_at_turn_end=rng.random() < 0.5)
    layers = [FrameLayer(300, writes_in_background=rng.random() < 0.5) for _ in range(2)]
    pair, count = make_pair_of(step, *layers), 60
    told = Outcomes()
    for number in range(count):
        for socket in (pair.near, pair.far):
            data = IOBuf(message(number, rng.choice((0, 10, 3000))))
            socket.start_write(data, on_outcome=told, notify_on_success=True)
        for _ in range(rng.randrange(4)):
            step.step()
    for _ in range(5000):
        if told.untaken == 2 * count and all(u.messages.qsize() == count for u in pair.users):
            break
        step.advance(LAYER_PAUSE_S)
    for user in pair.users:
        numbers = [user.messages.get_nowait().correlation_id for _ in range(count)]
        assert numbers == list(range(count))
    assert told.take(2 * count) == [None] * 2 * count


def test_credits_of_a_side_that_only_reads_arrive(
    dispatcher: EventDispatcher, make_pair_of: MakePair
) -> None:
    pair = make_pair_of(dispatcher, FrameLayer(100), FrameLayer())
    for number in range(50):
        pair.near.start_write(IOBuf(message(number, 100)))
    taken = [pair.users[1].messages.get(timeout=30).correlation_id for _ in range(50)]
    assert taken == list(range(50))


@IN_BACKGROUND
def test_bytes_of_a_layer_are_written_though_the_only_message_was_cancelled(
    step: StepDispatcher, make_pair_of: MakePair, in_background: bool
) -> None:
    """The writer waits for the layer to have room for it, so nobody else flushes the credit."""
    near, far = FrameLayer(0, writes_in_background=in_background), FrameLayer(100)
    pair, told = make_pair_of(step, near, far), Outcomes()
    step.run_until_idle()
    request = WriteRequest(IOBuf(b"never sent"), None, told)
    pair.near.write_request(request)
    step.run_until_idle()
    pair.far.start_write(IOBuf(message(1, 10)))
    step.run_until_idle()
    assert pair.users[0].messages.get_nowait().correlation_id == 1
    request.cancel()
    step.advance(LAYER_PAUSE_S)
    assert (told.take_error().code, far.credit_bytes) == (ErrorCode.ECANCELED, 100)
    assert not near.has_unsent
    pair.near.start_write(IOBuf())
    step.run_until_idle()
    assert pair.near.backlog.requests == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pack_frame(BYTES, b"good")[:-1] + b"x", "checksum is wrong"),
        (struct.pack("!IIB", 1 << 30, 0, BYTES), "a frame of 1073741824 bytes"),
    ],
)
def test_exception_of_a_layer_fails_the_connection(
    dispatcher: EventDispatcher, make_wire: MakeWire, data: bytes, reason: str
) -> None:
    user, told = User(), Outcomes()
    wire = make_wire(dispatcher, user=user, layer=FrameLayer(1))
    wire.socket.start_write(IOBuf(b"two"), on_outcome=told)
    wire.peer.sendall(data)
    error = user.take_error()
    assert isinstance(error, ProtocolError)
    assert error.text.startswith("Fail to read from unix:")
    assert reason in error.text
    assert told.take_error().text == error.text


def test_after_shutdown_write_the_layer_is_finished_once_and_later_ones_are_refused(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    layer, told, late = FrameLayer(), Outcomes(), Outcomes()
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, layer=layer)
    step.run_until_idle()
    wire.socket.start_write(
        IOBuf(bytes(20_000)), on_outcome=told, notify_on_success=True, shutdown_write=True
    )
    wire.socket.start_write(IOBuf(b"late"), on_outcome=late)
    step.run_until_idle()
    assert (told.untaken, layer.said) == (0, [])
    received = bytearray()
    while not told.untaken:
        received += wire.peer.recv(1000)
        step.run_until_idle()
    assert unframed(bytes(received) + wire.receive_all()) == bytes(20_000)
    assert told.take() == [None]
    assert isinstance(late.take_error(), WriteShutdownError)
    assert layer.said == ["finish"]


def test_connections_without_a_layer_share_one() -> None:
    assert [PLAIN.has_unsent, PLAIN.has_unread, PLAIN.writes_in_background] == [False] * 3
    assert PLAIN.tls is None
    assert PLAIN.shake_hands(-1)
    PLAIN.finish(-1)
    PLAIN.close(-1)
    assert repr(PLAIN) == "<PlainLayer>"
