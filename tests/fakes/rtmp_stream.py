"""A relay of one stream without sockets: a publisher, players, and what is written to them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.message import set_chunk_size
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay.cache_budget import CacheBudget
from pybrpc.rtmp.relay.relay_stream import FrameTap, RelayStream
from pybrpc.rtmp.relay.relay_values import RelayLimits
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from pybrpc.transport.writing.write_request import WriteRequest

LIMIT = 10_000


class Timer:
    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.is_canceled = False

    def cancel(self) -> None:
        self.is_canceled = True


class Peer:
    """A connection, its socket, the backlog of that, and its dispatcher; nothing is sent."""

    def __init__(self, name: str) -> None:
        self.peer = name
        self.chunk_writer = ChunkWriter()
        self.requests_made: list[WriteRequest] = []
        self.timers: list[Timer] = []
        self.size_bytes = self.requests = 0
        self.process: ProcessBacklog | None = None
        self.error: RpcError | None = None
        self.socket = self.backlog = self.dispatcher = self

    def write_request(self, request: WriteRequest) -> None:
        if self.error is not None:
            raise self.error
        self.requests_made.append(request)
        self.size_bytes += request.size_bytes
        self.requests += 1

    def call_at(self, deadline: float, function: Callable[[], object]) -> Timer:
        self.timers.append(Timer(function))
        return self.timers[-1]

    def end_stream(self, core: RtmpStreamCore, error: RpcError | None) -> None:
        core.end(error)

    def drain(self) -> None:
        """The peer takes all that is queued."""
        self.size_bytes = self.requests = 0

    def wire(self) -> IOBuf:
        """The bytes of all that was written."""
        wire = IOBuf()
        ChunkWriter().append(wire, set_chunk_size(4096))
        self.chunk_writer.chunk_size = 4096
        for request in self.requests_made:
            if request.message is None:
                wire.append(request.data)
            else:
                request.message.append_to(wire)
        return wire

    def frames(self) -> list[Frame]:
        """The frames of all that was written."""
        wire, reader, found = self.wire(), ChunkReader(), list[Frame]()
        while messages := reader.read(wire):
            found += [Frame.of_message(message) for message in messages]
        return found


class Owner:
    """A relay of one stream."""

    def __init__(self, limits: RelayLimits | None = None) -> None:
        self.lock: AbstractContextManager[object] = threading.RLock()
        self.events: list[str] = []
        self.taps: list[FrameTap] = []
        self.unused = 0
        self.now = 100.0
        limits = limits or RelayLimits(True, LIMIT, None, 0.0)
        self.caches = CacheBudget(limits.max_cached_bytes)
        self.stream = RelayStream("live/s", self, limits, lambda: self.now)

    def report(self, kind: str, stream: str, peer: str = "", text: str = "") -> None:
        self.events.append(f"{kind} {peer}".strip())

    def on_unused(self, stream: RelayStream) -> None:
        self.unused += not stream.is_used

    def new_taps(self, name: str) -> list[FrameTap]:
        return self.taps

    def publish(self, name: str = "publisher") -> RtmpStreamCore:
        core = new_core(name)
        core.is_publisher = True
        self.stream.begin_publishing(core)
        return core

    def play(self, name: str) -> Peer:
        core = new_core(name)
        self.stream.add_player(core)
        connection: object = core.connection
        assert isinstance(connection, Peer)
        return connection

    def send(self, core: RtmpStreamCore, *frames: Frame) -> None:
        assert core.sink is not None
        core.sink.on_frames(core, list(frames))


def new_core(name: str) -> RtmpStreamCore:
    connection: Any = Peer(name)
    return RtmpStreamCore(connection, 1, ByteBudget(1 << 30))


def payloads(frames: list[Frame]) -> list[bytes]:
    return [frame.payload for frame in frames]
