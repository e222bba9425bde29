"""RtmpStreamCore and its forms: who is woken, what is counted, and forks."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.errors import (
    OvercrowdedError,
    RpcError,
    RpcTimeoutError,
    StreamClosedError,
    StreamTimeoutError,
)
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import pack_data
from pybrpc.protocols.rtmp.message import VIDEO, RtmpMessage
from pybrpc.rtmp.connection import RtmpConnection
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.streams.aio_stream import AioRtmpStream
from pybrpc.rtmp.streams.stream import RtmpStream
from pybrpc.rtmp.streams.stream_core import UNREAD_FRAME_BYTES, RtmpStreamCore
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.sockets import make_pair
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.forking import exit_code_of, fork

FRAME = Frame.video(bytes(4000), 0)


class Connection(RtmpConnection):
    """One whose peer reads nothing."""

    def __init__(self) -> None:
        near, self.far = make_pair(buffer_bytes=4096)
        self.step = StepDispatcher()
        options = SocketOptions(high_water_bytes=20_000)
        super().__init__(Socket.of(near, self.step, options=options), ChunkWriter())
        self.budget = ByteBudget(None)

    def new_core(self) -> RtmpStreamCore:
        core = RtmpStreamCore(self, 1, self.budget)
        core.name = "s"
        return core

    def end_stream(self, core: RtmpStreamCore, error: RpcError | None) -> None:
        core.end(error)

    def fill(self, core: RtmpStreamCore) -> None:
        for _ in range(100):
            try:
                core.send([FRAME])
            except OvercrowdedError:
                return
        pytest.fail("there is room for any number of frames")

    def waiters(self) -> int:
        """Those who wait for room in the socket; 0 if that is compiled, which does not show it."""
        return len(getattr(self.socket.backlog, "_waiters", ()))

    def close(self) -> None:
        self.socket.close()
        self.step.run_until_idle()
        self.far.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.close()


def test_player_gets_what_was_published_and_nothing_of_the_server(connection: Connection) -> None:
    core = connection.new_core()
    picture = RtmpMessage(VIDEO, FRAME.payload, 1, FRAME.timestamp)
    core.on_messages(
        [
            pack_data("|RtmpSampleAccess", True, True),
            pack_data("onStatus", {"code": "NetStream.Data.Start"}),
            pack_data("@setDataFrame", "onMetaData", {"width": 2.0}),
            picture,
        ]
    )
    metadata = core.take()
    assert metadata is not None
    assert metadata.metadata == {"width": 2.0}
    assert core.take() == FRAME
    assert core.take() is None
    assert connection.budget.held_bytes == 0


def comes(core: RtmpStreamCore, count: int = 1) -> None:
    core.on_messages([RtmpMessage(VIDEO, b"payload", 1, time) for time in range(count)])


def test_thread_that_waits_for_room_hears_of_the_end_of_its_stream(connection: Connection) -> None:
    core = connection.new_core()
    connection.fill(core)
    raised: list[BaseException] = []

    def send() -> None:
        try:
            RtmpStream(core).send(FRAME)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: len(core._room_wakes) == 1)
    core.end(None)
    thread.join(WAIT_S)
    assert [type(error) for error in raised] == [StreamClosedError]
    assert connection.waiters() == 0


def test_task_that_waits_for_room_hears_of_the_end_of_its_stream(connection: Connection) -> None:
    core = connection.new_core()
    connection.fill(core)

    async def main() -> None:
        task = asyncio.create_task(AioRtmpStream(core).send(FRAME))
        while not len(core._room_wakes):
            await asyncio.sleep(0)
        core.end(None)
        with pytest.raises(StreamClosedError):
            await task

    asyncio.run(main())


def test_wait_for_room_ends_in_time(connection: Connection) -> None:
    core = connection.new_core()
    connection.fill(core)
    with pytest.raises(StreamTimeoutError, match=r"sending on .* took more than 0.01 s"):
        RtmpStream(core).send(FRAME, timeout=0.01)

    async def main() -> None:
        with pytest.raises(StreamTimeoutError, match=r"sending on .* took more than 0.01 s"):
            await AioRtmpStream(core).send(FRAME, timeout=0.01)

    asyncio.run(main())
    assert len(core._room_wakes) == connection.waiters() == 0


@pytest.mark.parametrize("method", ["recv", "send"])
def test_error_of_a_stream_is_not_taken_for_a_timeout_of_the_wait(
    connection: Connection, method: str
) -> None:
    """An RpcTimeoutError is a TimeoutError, too."""
    core = connection.new_core()
    core.is_publisher = method == "recv"
    connection.fill(core)

    async def main() -> None:
        stream: Any = AioRtmpStream(core)
        waits = stream.recv() if method == "recv" else stream.send(FRAME)
        task = asyncio.create_task(waits)
        await asyncio.sleep(0.01)
        core.end(RpcTimeoutError("the peer has vanished"))
        with pytest.raises(RpcTimeoutError, match="vanished") as caught:
            await task
        assert not isinstance(caught.value, StreamTimeoutError)

    asyncio.run(main())


def test_frames_that_nobody_takes_are_counted_until_their_stream_is_gone(
    connection: Connection,
) -> None:
    core = connection.new_core()
    comes(core, 3)
    assert connection.budget.held_bytes == 3 * (7 + UNREAD_FRAME_BYTES)
    core.take()
    core.end(None)
    assert connection.budget.held_bytes == 2 * (7 + UNREAD_FRAME_BYTES)
    del core
    gc.collect()
    assert connection.budget.held_bytes == 0


def test_stream_has_one_direction(connection: Connection) -> None:
    core = connection.new_core()
    thread_form, task_form = RtmpStream(core), AioRtmpStream(core)
    for receive in (thread_form.recv, thread_form.__next__, lambda: asyncio.run(task_form.recv())):
        with pytest.raises(RuntimeError, match=r"which this side publishes: use send"):
            receive()
    core.is_publisher = True
    for send in (
        thread_form.send,
        thread_form.send_nowait,
        task_form.send_nowait,
        lambda frame: asyncio.run(task_form.send(frame)),
    ):
        with pytest.raises(RuntimeError, match="is published by the peer: use recv"):
            send(FRAME)


@pytest.mark.parametrize("what", [b"x", None, [FRAME], RtmpMessage(VIDEO, b"")], ids=repr)
def test_only_frames_are_sent(connection: Connection, what: Any) -> None:
    core = connection.new_core()
    stream: Any = RtmpStream(core)
    for send in (stream.send, stream.send_nowait, lambda *frames: core.send(frames)):
        with pytest.raises(TypeError, match="frame"):
            send(FRAME, what)
    assert connection.socket.backlog.size_bytes == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_finds_no_lock_held(connection: Connection) -> None:
    core = connection.new_core()
    core.is_publisher = True
    comes(core)
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with core._lock:
            is_held.set()
            assert may_end.wait(WAIT_S)

    def child() -> None:
        assert RtmpStream(core).recv(timeout=1).payload == b"payload"

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(WAIT_S)
        assert exit_code_of(fork(child)) == 0
    finally:
        may_end.set()
        thread.join(WAIT_S)
