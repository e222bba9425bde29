"""Streams over a real socket pair: one side is a StreamTable, the other one the test itself."""

from __future__ import annotations

import socket
from typing import Any

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import Message
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits
from pybrpc.protocols.streaming.stream_frame import (
    CLOSE,
    DATA,
    FEEDBACK,
    RST,
    StreamFrame,
)
from pybrpc.protocols.streaming.streaming_rpc import StreamingRpc
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.core import StreamCore
from pybrpc.streams.table import StreamTable
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.sockets import make_pair

REMOTE_ID = 1 << 40
"""The id that the test, as the peer, gives to its first stream."""

PARSER = StreamingRpc()


class Ended:
    """A Wait that counts its ends."""

    def __init__(self) -> None:
        self.ends = 0

    def end(self) -> None:
        self.ends += 1


def frames_in(data: bytes | IOBuf) -> tuple[list[StreamFrame], bytes]:
    """The whole frames at the front of `data`, and the rest."""
    buffer = IOBuf(bytes(data))
    frames: list[StreamFrame] = []
    while len(buffer):
        outcome = PARSER.parse(buffer, ParseLimits())
        if outcome is NEED_MORE:
            break
        assert isinstance(outcome, StreamFrame), outcome
        frames.append(outcome)
    return frames, bytes(buffer)


class StreamSide:
    """A StreamTable whose turns are made by hand. It notes who holds the connection."""

    def __init__(
        self,
        step: StepDispatcher | None = None,
        budget: ByteBudget | None = None,
        options: SocketOptions | None = None,
        buffer_bytes: int | None = None,
        **of_table: Any,
    ) -> None:
        self.step = step or StepDispatcher()
        near, self.far = make_pair(buffer_bytes=buffer_bytes)
        self.far.setblocking(False)
        self.socket = Socket.of(near, self.step, user=self, options=options)
        self.budget = ByteBudget(None) if budget is None else budget
        self.table = StreamTable(self, self.socket, self.budget, **of_table)
        self.held: set[Any] = set()
        self.released: list[Any] = []
        self.failures: list[RpcError] = []
        self._received = b""
        self.step.run_until_idle()

    # --- a StreamConnection ---

    def hold(self, user: Any) -> None:
        if self.socket.error is not None:
            raise self.socket.error.copy()
        assert user not in self.held
        self.held.add(user)

    def release_hold(self, user: Any) -> None:
        self.released.append(user)
        if self.socket.error is None:
            self.held.remove(user)

    # --- a SocketUser ---

    def on_connected(self, socket: Socket) -> None:
        pass

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        self.feed(*messages)

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        return False

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        self.failures.append(error)
        held, self.held = self.held, set()
        for user in held:
            user.on_connection_failed(self, error)

    # --- what the test does ---

    def open(
        self,
        options: StreamOptions | None = None,
        *,
        remote_id: int = REMOTE_ID,
        needs_feedback: bool = True,
        writable: bool = True,
        **fields: Any,
    ) -> StreamCore:
        """A stream that both sides know. `fields` are those of StreamOptions."""
        core = self.table.new_stream(options or StreamOptions(**fields))
        core.connect(remote_id, needs_feedback, writable)
        core.open()
        return core

    def feed(self, *frames: Any) -> None:
        """The peer sends these frames, which come in one read."""
        for frame in frames:
            self.table.on_frame(frame)
        self.table.end_batch()

    def data(self, core: StreamCore, *messages: bytes, goes_on: bool = False) -> None:
        self.feed(
            *(
                StreamFrame(core.id, core.remote_id, DATA, message, has_continuation=goes_on)
                for message in messages
            )
        )

    def feedback(self, core: StreamCore, consumed: int) -> None:
        self.feed(StreamFrame(core.id, core.remote_id, FEEDBACK, consumed_size=consumed))

    def close_by_peer(self, core: StreamCore) -> None:
        self.feed(StreamFrame(core.id, core.remote_id, CLOSE))

    def reset_by_peer(self, core: StreamCore) -> None:
        self.feed(StreamFrame(core.id, frame_type=RST))

    def sent(self) -> list[StreamFrame]:
        """The frames that this side has sent since the last time."""
        self.step.run_until_idle()
        while (data := self._receive()) or self.step.step():
            self._received += data
        frames, self._received = frames_in(self._received)
        return frames

    def sent_kinds(self) -> list[int]:
        return [frame.frame_type for frame in self.sent()]

    def sent_data(self) -> list[bytes]:
        """The messages among what was sent, segments as they came."""
        return [frame.data for frame in self.sent() if frame.frame_type == DATA]

    def _receive(self) -> bytes:
        try:
            return self.far.recv(1 << 20)
        except (BlockingIOError, ConnectionResetError):
            return b""

    def check_idle(self) -> None:
        """Nothing is left of any stream."""
        self.step.run_until_idle()
        assert self.table.streams == {}
        assert self.held == set()
        assert len(set(self.released)) == len(self.released), "a hold was released twice"
        assert self.budget.held_bytes == 0
        assert self.budget._holders == {}
        assert self.table.unconsumed == 0
        queue = self.table.queue
        if self.socket.error is None:
            assert queue.unwritten == queue._unmarked
        assert not queue._is_serving

    def close(self) -> None:
        self.socket.close()
        self.step.run_until_idle()
        self.far.close()

    def __enter__(self) -> StreamSide:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        self.close()
        if kind is None:
            assert self.step.raised == []


def shut(sock: socket.socket) -> None:
    """End the output of one end of a pair."""
    sock.shutdown(socket.SHUT_WR)
