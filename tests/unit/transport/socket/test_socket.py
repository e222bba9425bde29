"""Socket as its users see it, where no guarantee or acceptance test does."""

from __future__ import annotations

import pytest

from pybrpc.errors import ConnectionFailedError, ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_table import SocketTable
from tests.fakes.sockets import (
    SMALL_BUFFER,
    MakeStep,
    MakeWire,
    Outcomes,
    User,
    UserMessage,
    unused_endpoint,
)


def test_repr_has_the_state_in_words(step: StepDispatcher, make_wire: MakeWire) -> None:
    near = Socket.to(unused_endpoint(), step)
    assert "not connected" in repr(near)
    near.start_write(IOBuf(b"12345"))
    assert "connecting" in repr(near)
    assert "5 bytes queued" in repr(near)
    step.run_until_idle()
    assert "failed: Fail to connect" in repr(near)
    assert "connected, 0 bytes queued" in repr(make_wire(step).socket)


def test_statistics_count_messages_bytes_and_calls(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step)
    assert wire.socket.statistics().messages_per_write == 0
    wire.socket.start_write(IOBuf(b"in place"))
    step.post(lambda: [wire.socket.start_write(IOBuf(b"put off")) for _ in range(3)])  # type: ignore[arg-type,return-value]
    step.run_until_idle()
    seen = wire.socket.statistics()
    assert (seen.messages_written, seen.written_in_place, seen.handed_over) == (4, 1, 3)
    assert (seen.bytes_written, seen.writes, seen.messages_per_write) == (8 + 3 * 7, 2, 2.0)


@pytest.mark.parametrize("count", [1, 3])
def test_empty_messages_make_no_system_call(
    step: StepDispatcher, make_wire: MakeWire, count: int
) -> None:
    wire, told = make_wire(step), Outcomes()
    for _ in range(count):
        wire.socket.start_write(IOBuf(), on_outcome=told, notify_on_success=True)
    step.run_until_idle()
    assert told.take(count) == [None] * count
    assert wire.socket.statistics().writes == 0


def test_a_burst_of_one_producer_is_put_off_and_goes_out_together(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step)
    for number in range(10):
        wire.socket.start_write(IOBuf(b"%d" % number))
    assert wire.socket.statistics().writes == 1
    step.run_until_idle()
    assert wire.socket.statistics().writes == 2
    assert wire.receive(10) == b"0123456789"


def test_an_idle_connection_writes_at_once(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(step)
    for _ in range(5):
        wire.socket.start_write(IOBuf(b"x"))
        step.clock.advance(1)
    assert wire.socket.statistics().written_in_place == 5


@pytest.mark.parametrize("count", [255, 256, 257, 2000])
def test_batches_of_any_length_are_written(
    step: StepDispatcher, make_wire: MakeWire, count: int
) -> None:
    wire, told = make_wire(step), Outcomes()
    for number in range(count):
        data = IOBuf(b"%08d" % number)
        wire.socket.start_write(data, on_outcome=told, notify_on_success=True)
    step.run_until_idle()
    assert wire.receive(8 * count) == b"".join(b"%08d" % number for number in range(count))
    assert told.take(count) == [None] * count


def test_a_message_of_more_blocks_than_one_system_call_takes(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire, told, data = make_wire(step), Outcomes(), IOBuf()
    for number in range(3000):
        data.append(b"%04d" % number)
    wire.socket.start_write(data, on_outcome=told, notify_on_success=True)
    wire.socket.start_write(IOBuf(b"next"))
    step.run_until_idle()
    assert wire.receive(12_004) == b"".join(b"%04d" % n for n in range(3000)) + b"next"
    assert told.take() == [None]


@pytest.mark.parametrize("seed", range(20))
def test_waiters_are_woken_once_when_the_socket_fails_during_keep_write(
    make_step: MakeStep, make_wire: MakeWire, seed: int
) -> None:
    step, user = make_step(seed), User()
    wire = make_wire(step, user=user, buffer_bytes=SMALL_BUFFER)
    told = [Outcomes() for _ in range(10)]
    for number, outcome in enumerate(told):
        wire.socket.start_write(IOBuf(bytes(5000)), on_outcome=outcome, notify_on_success=True)
        if number % 3 == seed % 3:
            step.step()
    wire.peer.recv(100 * seed)
    for _ in range(seed % 5):
        step.step()
    wire.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))
    step.run_until_idle()
    assert [outcome.untaken for outcome in told] == [1] * 10
    assert user.errors.qsize() == 1


def test_an_outcome_that_writes_to_the_failed_socket_is_refused(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER)
    refused: list[RpcError] = []

    def write_again(error: RpcError | None) -> None:
        try:
            wire.socket.start_write(IOBuf(b"again"))
        except RpcError as again:
            refused.append(again)

    wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=write_again)
    wire.socket.close()
    step.run_until_idle()
    assert [(type(error), error.code) for error in refused] == [
        (ConnectionFailedError, ErrorCode.ECLOSE)
    ]


def test_a_message_that_writes_while_it_is_turned_into_bytes(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step)

    class Writing(UserMessage):
        def append_to(self, buffer: IOBuf) -> None:
            wire.socket.start_write(IOBuf(b" second"))
            super().append_to(buffer)

    wire.socket.start_write(Writing(b"first"))
    step.run_until_idle()
    assert wire.receive(12) == b"first second"


def test_table_keeps_no_socket_alive_and_forgets_failed_ones(step: StepDispatcher) -> None:
    table = SocketTable()
    near = Socket.to(unused_endpoint(), step)
    socket_id = table.add(near)
    assert table.address(socket_id) is near
    assert (len(table), table.all()) == (1, [near])
    table.remove(socket_id)
    table.remove(socket_id)
    assert table.address(socket_id) is None
    again = table.add(near)
    assert again != socket_id
    del near
    assert table.address(again) is None
