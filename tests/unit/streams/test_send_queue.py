"""SendQueue: whose turn it is, when there is room, and that nothing is sent twice or lost."""

from __future__ import annotations

import pytest

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA
from pybrpc.streams import send_queue as send_queue_module
from pybrpc.streams.core import StreamCore
from pybrpc.streams.outgoing import Outgoing
from pybrpc.streams.send_queue import (
    BURST_BYTES,
    MARK_BYTES,
    MAX_BURSTS,
    ROOM_BYTES,
    SendQueue,
)
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.streams import REMOTE_ID, Ended, StreamSide


def enqueue(core: StreamCore, *messages: bytes) -> Ended:
    wait = Ended()
    core.enqueue(Outgoing(messages, wait))
    return wait


def test_bytes_are_counted_until_they_are_written(side: StreamSide) -> None:
    core = side.open(max_buf_size=0)
    queue = side.table.queue
    core.try_send(bytes(100))
    small = queue.unwritten
    assert small > 100
    for _ in range(3):
        core.try_send(bytes(MARK_BYTES))
    assert queue.unwritten > 3 * MARK_BYTES
    side.sent()
    assert queue.unwritten == queue._unmarked < MARK_BYTES


def test_without_room_messages_wait_until_the_peer_reads(side: StreamSide) -> None:
    core = side.open(max_buf_size=0)
    queue = side.table.queue
    sent = 0
    while core.try_send(bytes(100_000)):
        sent += 1
    assert queue.is_full()
    assert ROOM_BYTES <= queue.unwritten < ROOM_BYTES + 200_000
    wait = enqueue(core, *[bytes(100_000)] * 60)
    assert wait.ends == 0
    assert f"{queue.unwritten} bytes unwritten" in repr(queue)
    assert len(side.sent_data()) == sent + 60
    assert wait.ends == 1


def test_streams_have_their_turns(side: StreamSide) -> None:
    """One that has much to send delays the others by a burst of each."""
    queue = side.table.queue
    cores = [side.open(remote_id=REMOTE_ID + index, max_buf_size=0) for index in range(3)]
    queue.unwritten += ROOM_BYTES
    enqueue(cores[0], *[bytes(BURST_BYTES)] * 4)
    enqueue(cores[1], *[bytes(BURST_BYTES)] * 2)
    enqueue(cores[2], b"small")
    assert side.sent() == []
    queue.unwritten -= ROOM_BYTES
    queue.serve()
    ids = [frame.stream_id - REMOTE_ID for frame in side.sent()]
    assert ids == [0, 1, 2, 0, 1, 0, 0]


def test_burst_has_as_many_small_messages_as_fit(side: StreamSide) -> None:
    queue = side.table.queue
    cores = [side.open(remote_id=REMOTE_ID + index, max_buf_size=0) for index in range(2)]
    queue.unwritten += ROOM_BYTES
    for core in cores:
        enqueue(core, *[bytes(1000)] * 100)
    queue.unwritten -= ROOM_BYTES
    queue.serve()
    ids = [frame.stream_id - REMOTE_ID for frame in side.sent()]
    assert len(ids) == 200
    assert ids.index(1) in range(BURST_BYTES // 1100, BURST_BYTES // 1000 + 1)


def test_after_many_bursts_others_have_a_turn(
    side: StreamSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_BURSTS > 2
    monkeypatch.setattr(send_queue_module, "MAX_BURSTS", 2)
    queue = side.table.queue
    cores = [side.open(remote_id=REMOTE_ID + index) for index in range(5)]
    queue.unwritten += ROOM_BYTES
    waits = [enqueue(core, b"x") for core in cores]
    queue.unwritten -= ROOM_BYTES
    queue.serve()
    assert [wait.ends for wait in waits] == [1, 1, 0, 0, 0]
    assert len(side.sent_data()) == 5
    assert [wait.ends for wait in waits] == [1] * 5


def test_stream_is_ready_once(side: StreamSide) -> None:
    core = side.open()
    queue = side.table.queue
    queue.unwritten += ROOM_BYTES
    enqueue(core, b"1")
    enqueue(core, b"2")
    assert list(queue._ready) == [core]
    queue.unwritten -= ROOM_BYTES
    queue.serve()
    assert side.sent_data() == [b"1", b"2"]


def test_overcrowded_socket_takes_no_message_and_wakes_the_queue() -> None:
    options = SocketOptions(high_water_bytes=1000, low_water_bytes=500)
    with StreamSide(options=options, buffer_bytes=4096) as side:
        core = side.open(max_buf_size=0)
        while core.try_send(bytes(500)):
            pass
        assert side.socket.backlog.refuses_writes()
        wait = enqueue(core, b"waits")
        core.close(closed := Ended())
        assert (wait.ends, closed.ends) == (0, 0)
        frames = side.sent()
        assert frames[-2].data == b"waits"
        assert frames[-1].frame_type == CLOSE
        assert (wait.ends, closed.ends) == (1, 1)
        side.check_idle()


def test_close_ends_once_the_kernel_has_it() -> None:
    with StreamSide(buffer_bytes=4096) as side:
        core = side.open(max_buf_size=0)
        core.try_send(bytes(300_000))
        closed = Ended()
        core.close(closed)
        side.step.run_until_idle()
        assert closed.ends == 0
        assert side.sent_kinds() == [DATA, CLOSE]
        assert closed.ends == 1
        side.check_idle()


def test_close_ends_with_the_connection_too() -> None:
    with StreamSide(buffer_bytes=4096) as side:
        core = side.open(max_buf_size=0)
        core.try_send(bytes(300_000))
        closed = Ended()
        core.close(closed)
        side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
        side.step.run_until_idle()
        assert closed.ends == 1
        assert core.failure is not None
        side.check_idle()


def test_close_on_a_connection_that_has_just_failed_is_a_failure(side: StreamSide) -> None:
    core = side.open()
    side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
    core.close(closed := Ended())
    assert closed.ends == 1
    assert "broken" in core.state
    side.check_idle()


def test_write_on_a_failed_socket_raises(side: StreamSide) -> None:
    side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
    with pytest.raises(RpcError, match="broken"):
        side.table.queue.write(IOBuf(b"x"))


def test_serving_after_the_failure_ends_those_that_wait(side: StreamSide) -> None:
    core = side.open()
    queue = side.table.queue
    queue.unwritten += ROOM_BYTES
    wait = enqueue(core, b"1", b"2")
    side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
    queue.unwritten -= ROOM_BYTES
    queue.serve()
    side.step.run_until_idle()
    assert wait.ends == 1
    side.check_idle()


@pytest.mark.python_only
def test_thread_that_is_interrupted_while_it_serves_fails_the_connection(
    side: StreamSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gave messages of others to the socket: these must not wait for ever."""
    core = side.open(max_buf_size=0)
    queue = side.table.queue
    queue.unwritten += ROOM_BYTES
    wait = enqueue(core, b"waits")
    queue.unwritten -= ROOM_BYTES

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SendQueue, "_give", interrupt)
        with pytest.raises(KeyboardInterrupt):
            queue.serve()
    assert not queue._is_serving
    assert side.socket.error is not None
    side.step.run_until_idle()
    assert core.has_ended
    assert wait.ends == 1, "the Outgoing was taken out of the stream"
