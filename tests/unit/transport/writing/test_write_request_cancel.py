"""Taking back a message that is queued: it is dropped if nothing of it was begun, once."""

from __future__ import annotations

import random
import threading

import pytest

from pybrpc.errors import ErrorCode, Phase, RpcCanceledError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.writing.write_request import NOTHING, Outcome, Progress, WriteRequest
from tests.fakes.frames import by_producer, frame, frames_of
from tests.fakes.sockets import (
    SMALL_BUFFER,
    MakeStep,
    MakeWire,
    Outcomes,
    UserMessage,
    Wire,
    fill,
    flush,
)
from tests.fakes.threads import in_threads


def write(wire: Wire, data: bytes | UserMessage, told: Outcome) -> WriteRequest:
    is_bytes = isinstance(data, bytes)
    content = IOBuf(data) if isinstance(data, bytes) else IOBuf()
    request = WriteRequest(content, None if is_bytes else data, told, True)  # type: ignore[arg-type]
    wire.socket.write_request(request)
    return request


def test_a_queued_message_is_dropped_when_its_turn_comes(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire, told = make_wire(step, buffer_bytes=SMALL_BUFFER), Outcomes()
    filling = fill(wire.socket)
    before = wire.socket.backlog.size_bytes
    write(wire, b"dropped", told).cancel()
    write(wire, b"kept", Outcomes())
    received = flush(wire, step)
    assert received == bytes((1 << 16) * filling) + b"kept"
    error = told.take_error()
    assert isinstance(error, RpcCanceledError)
    assert (error.code, error.phase, told.untaken) == (ErrorCode.ECANCELED, Phase.QUEUED, 0)
    assert (before > 0, wire.socket.backlog.size_bytes, wire.socket.backlog.requests) == (
        True,
        0,
        0,
    )


def test_only_queued_message_is_dropped(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire, told = make_wire(step), Outcomes()
    step.post(lambda: write(wire, b"dropped", told).cancel())
    step.run_until_idle()
    assert isinstance(told.take_error(), RpcCanceledError)
    write(wire, b"next", told)
    step.run_until_idle()
    assert wire.receive(4) == b"next"
    assert told.take() == [None]


def test_a_message_that_has_begun_goes_on(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire, told = make_wire(step, buffer_bytes=SMALL_BUFFER), Outcomes()
    request = write(wire, bytes(1 << 20), told)
    step.run_until_idle()
    request.cancel()
    assert len(flush(wire, step)) == 1 << 20
    assert told.take() == [None]
    request.cancel()


def test_a_message_that_was_turned_into_bytes_goes_on(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """A pipelined protocol has counted it: the answers behind it would go to the wrong ones."""
    wire, told = make_wire(step, buffer_bytes=SMALL_BUFFER), Outcomes()
    filling = fill(wire.socket)
    requests = [write(wire, UserMessage(b"%d" % number), told) for number in range(3)]
    taken = len(wire.peer.recv(1000))
    step.run_until_idle()
    assert {request.message for request in requests} == {None}
    assert {request.phase for request in requests} == {Phase.SENT}, "nothing keeps them back"
    for request in requests:
        request.cancel()
    assert flush(wire, step) == bytes((1 << 16) * filling - taken) + b"012"
    assert told.take(3) == [None] * 3


def test_a_message_that_is_dropped_is_not_turned_into_bytes(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire, told, log = make_wire(step), Outcomes(), list[object]()
    kept, dropped = UserMessage(b"kept", log), UserMessage(b"dropped", log)
    step.post(lambda: (write(wire, dropped, told).cancel(), write(wire, kept, Outcomes())))  # type: ignore[arg-type,return-value]
    step.run_until_idle()
    assert (wire.receive(4), log) == (b"kept", [kept])
    assert isinstance(told.take_error(), RpcCanceledError)


def test_a_dropped_message_that_asked_for_shutdown_shuts_nothing_down(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire, told = make_wire(step), Outcomes()
    request = WriteRequest(IOBuf(b"last"), None, told, True, shutdown_write=True)
    step.post(lambda: (wire.socket.write_request(request), request.cancel()))  # type: ignore[func-returns-value,arg-type,return-value]
    step.run_until_idle()
    write(wire, b"after", told)
    assert wire.receive(5) == b"after"
    assert isinstance(told.take_error(), RpcCanceledError)


def test_cancelled_requests_of_a_failed_socket_get_its_error(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire, told = make_wire(step, buffer_bytes=SMALL_BUFFER), Outcomes()
    fill(wire.socket)
    write(wire, b"cancelled", told).cancel()
    wire.socket.close()
    step.run_until_idle()
    assert (told.take_error().code, told.untaken) == (ErrorCode.ECLOSE, 0)


@pytest.mark.parametrize("seed", range(30))
def test_cancelled_request_ends_once_and_arrives_whole_or_not_in_any_schedule(
    make_step: MakeStep, make_wire: MakeWire, seed: int
) -> None:
    rng = random.Random(seed)
    step = make_step(seed, flushes_at_turn_end=rng.random() < 0.5)
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    told = [Outcomes() for _ in range(80)]
    requests: list[WriteRequest] = []
    wire.peer.setblocking(False)
    received = b""
    for number, outcome in enumerate(told):
        data = frame(0, number, rng.choice((0, 100, 6000)))
        requests.append(write(wire, data, outcome))
        if rng.random() < 0.5:
            rng.choice(requests).cancel()
        if rng.random() < 0.5:
            step.step()
    received = flush(wire, step)
    outcomes = [outcome.take()[0] for outcome in told]
    assert [outcome.untaken for outcome in told] == [0] * len(told)
    written = [number for number, error in enumerate(outcomes) if error is None]
    assert by_producer(frames_of(received)).get(0, []) == written
    assert {type(error) for error in outcomes} <= {type(None), RpcCanceledError}
    assert wire.socket.backlog.requests == 0


def test_threads_that_cancel_what_others_write(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    """The outcome and the bytes that arrive agree, whatever the race decides."""
    wire, each, writers = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER), 300, 3
    outcomes: dict[tuple[int, int], list[RpcError | None]] = {}
    over = threading.Semaphore(0)
    received: list[bytes] = []

    def run(index: int) -> None:
        if index == writers:
            received.append(wire.receive_all())
            return
        before: WriteRequest | None = None
        for number in range(each):
            heard = outcomes[index, number] = []
            request = write(
                wire,
                frame(index, number, 500),
                lambda error, heard=heard: (heard.append(error), over.release()),  # type: ignore[misc]
            )
            if before is not None and number % 2:
                before.cancel()
            before = request

    def close_when_all_are_told() -> None:
        for _ in range(writers * each):
            assert over.acquire(timeout=30)
        wire.socket.start_write(IOBuf(), shutdown_write=True)

    in_threads(writers + 2, lambda i: close_when_all_are_told() if i > writers else run(i))
    assert {len(heard) for heard in outcomes.values()} == {1}
    found = by_producer(frames_of(received[0]))
    for index in range(writers):
        written = [n for n in range(each) if outcomes[index, n] == [None]]
        assert found.get(index, []) == written


def test_a_written_request_keeps_no_buffer_of_its_own(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step)
    requests = [write(wire, b"%d" % number, Outcomes()) for number in range(3)]
    step.run_until_idle()
    assert [request.progress for request in requests] == [Progress.WRITTEN] * 3
    assert all(request.data is NOTHING for request in requests)
    assert not NOTHING
