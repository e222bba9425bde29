"""Guarantee 7 of the write path: what is queued is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest

from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    OvercrowdedError,
    RpcError,
    RpcTimeoutError,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket_options import HIGH_WATER_BYTES, SocketOptions
from tests.fakes.sockets import SMALL_BUFFER, MakeWire, Outcomes, Wire
from tests.fakes.threads import in_threads

LIMITED = SocketOptions(high_water_bytes=100_000, low_water_bytes=20_000)


MESSAGE_BYTES = 1000


def crowd(wire: Wire) -> int:
    """Write until that is refused; return how many messages were let in."""
    count = 0
    with contextlib.suppress(OvercrowdedError):
        while True:
            wire.socket.start_write(IOBuf(bytes(MESSAGE_BYTES)))
            count += 1
    return count


def test_backlog_is_bounded_to_64_mib_by_default(step: StepDispatcher, make_wire: MakeWire) -> None:
    assert make_wire(step).socket.backlog.high_water == HIGH_WATER_BYTES == 64 << 20


def test_message_counts_when_it_is_queued_not_when_its_turn_comes(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """The dispatcher never runs, so no request's turn comes."""
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    crowd(wire)
    size = wire.socket.statistics().backlog_bytes
    assert LIMITED.high_water < size <= LIMITED.high_water + MESSAGE_BYTES


def test_empty_messages_are_bounded_too(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    wire.socket.start_write(IOBuf(bytes(50_000)))
    with contextlib.suppress(OvercrowdedError):
        for _ in range(2000):
            wire.socket.start_write(IOBuf())
    assert wire.socket.statistics().refused_overcrowded == 1


def test_refusal_names_the_queued_bytes_and_the_limit(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    crowd(wire)
    kept = IOBuf(b"not taken")
    told = Outcomes()
    with pytest.raises(
        OvercrowdedError, match=r"\d+ bytes in \d+ messages .* limits are 100000 and 1024"
    ) as e:
        wire.socket.start_write(kept, on_outcome=told)
    assert (e.value.code, e.value.phase) == (ErrorCode.EOVERCROWDED, "queued")
    assert told.untaken == 0
    assert wire.socket.statistics().refused_overcrowded == 2


def test_control_frame_may_pass_the_limit(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    crowd(wire)
    before = wire.socket.statistics().backlog_bytes
    wire.socket.start_write(IOBuf(b"control"), ignore_eovercrowded=True)
    after = wire.socket.statistics().backlog_bytes
    assert after == before + len(b"control")


def test_writes_are_accepted_again_at_the_low_water_mark_not_before(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    crowd(wire)
    step.run_until_idle()
    refused_below_high = 0
    while wire.socket.backlog.size_bytes > LIMITED.low_water_bytes:
        assert wire.socket.backlog.is_overcrowded
        with pytest.raises(OvercrowdedError):
            wire.socket.start_write(IOBuf(b"x"))
        refused_below_high += wire.socket.backlog.size_bytes < LIMITED.high_water
        wire.peer.recv(1000)
        step.run_until_idle()
    assert refused_below_high > 0
    wire.socket.start_write(IOBuf(b"x"))
    assert not wire.socket.backlog.is_overcrowded


def test_socket_is_never_left_overcrowded_by_racing_threads(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    options = SocketOptions(high_water_bytes=5000, low_water_bytes=0)
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER, options=options)
    each, producers = 300, 3

    def produce(index: int) -> None:
        if index == producers:
            assert len(wire.receive(each * producers * 500)) == each * producers * 500
            return
        for _ in range(each):
            while True:
                wire.socket.wait_writable(time.monotonic() + 30)
                with contextlib.suppress(OvercrowdedError):
                    wire.socket.start_write(IOBuf(bytes(500)))
                    break

    in_threads(producers + 1, produce)


def test_thread_waits_until_it_may_write(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    count = crowd(wire)
    with pytest.raises(RpcTimeoutError, match="No room in the backlog") as caught:
        wire.socket.wait_writable(time.monotonic())
    assert (caught.value.phase, caught.value.peer) == ("queued", str(wire.socket.remote_side))
    receiver = threading.Thread(target=wire.receive, args=(count * MESSAGE_BYTES,))
    receiver.start()
    wire.socket.wait_writable(time.monotonic() + 30)
    wire.socket.start_write(IOBuf(b"room"))
    receiver.join(30)
    assert wire.receive(4) == b"room"


def test_thread_that_waits_until_it_may_write_gets_the_failure(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    crowd(wire)
    raised = Outcomes()

    def wait() -> None:
        try:
            wire.socket.wait_writable()
        except RpcError as error:
            raised(error)

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    wire.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))
    for thread in waiting:
        thread.join(30)
    errors = raised.take(3)
    assert {error.text for error in errors if error} == {"the test says so"}
    assert len({id(error) for error in errors}) == 3


def test_tasks_drain(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    """In a loop that need not be the one whose turns serve the socket."""
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    count = crowd(wire)

    async def main() -> None:
        draining = [asyncio.create_task(wire.socket.drain()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in draining)
        draining[0].cancel()
        receiving = asyncio.get_running_loop().run_in_executor(
            None, wire.receive, count * MESSAGE_BYTES
        )
        async with asyncio.timeout(30):
            await asyncio.gather(*draining[1:], receiving)
            await wire.socket.drain()

    asyncio.run(main())


def test_draining_tasks_get_the_failure(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(dispatcher, buffer_bytes=SMALL_BUFFER, options=LIMITED)
    crowd(wire)

    async def main() -> None:
        draining = [asyncio.create_task(wire.socket.drain()) for _ in range(2)]
        await asyncio.sleep(0)
        wire.socket.close()
        async with asyncio.timeout(30):
            results = await asyncio.gather(*draining, return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionFailedError] * 2

    asyncio.run(main())
