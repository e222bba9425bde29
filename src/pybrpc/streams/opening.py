"""StreamOpening: the streams that one call of a client opens, from its request to its answer.

The request carries the ids of this side's streams, the answer those of the server. The answer of
bRPC comes as the first DATA frame of the first stream: a whole frame of baidu_std, in the payload.

A call may be sent again, over another connection: then its streams begin anew there, with the same
ids. That happens only if nothing of the request was sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pybrpc.errors import ErrorCode, ProtocolError, RpcError
from pybrpc.iobuf.iobuf import iobuf_of
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse, StreamSettings
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.core import StreamCore
from pybrpc.streams.interfaces import StreamPlace
from pybrpc.streams.table import StreamTable, new_stream_id

Deliver = Callable[[RpcResponse], None]


class StreamBody:
    """The body of a request that opens streams."""

    __slots__ = ("body", "opening")

    def __init__(self, body: Any, opening: StreamOpening) -> None:
        self.body = body
        self.opening = opening


class StreamOpening:
    """The streams of one call that are not open yet."""

    __slots__ = (
        "_deliver",
        "_ids",
        "_limits",
        "_lock",
        "cores",
        "correlation_id",
        "error",
        "options",
    )

    def __init__(self, options: StreamOptions, count: int) -> None:
        self.options = options
        self._ids = [new_stream_id() for _ in range(count)]
        self._lock = threading.Lock()
        self.cores: list[StreamCore] = []
        """The streams, on the connection that the call was sent over last."""
        self.correlation_id = 0
        self.error: RpcError | None = None
        """Why the call has failed."""
        self._deliver: Deliver | None = None
        self._limits = ParseLimits()

    def attach(
        self, table: StreamTable, correlation_id: int, limits: ParseLimits, deliver: Deliver
    ) -> StreamSettings:
        """The request is about to be sent: make its streams. Return what it has to say of them.

        `deliver` gets the answer, in a turn. Raises the RpcError of a connection that takes no more
        streams, or has failed.
        """
        self._detach()
        self.correlation_id = correlation_id
        self._deliver = deliver
        self._limits = limits
        cores: list[StreamCore] = []
        try:
            for stream_id in self._ids:
                core = table.new_stream(self.options, stream_id)
                core.opening = self
                cores.append(core)
        except BaseException:
            for core in cores:
                table.forget(core)
            raise
        with self._lock:
            self.cores = cores
            error = self.error
        if error is not None:
            self._fail_cores(error)
        return StreamSettings(
            self._ids[0], self.options.max_buf_size > 0, True, tuple(self._ids[1:])
        )

    def fail(self, error: RpcError) -> None:
        """The call has failed. Any thread."""
        with self._lock:
            self.error = error
        self._fail_cores(error)

    @property
    def is_open(self) -> bool:
        """Whether the server has accepted all streams."""
        return bool(self.cores) and all(core.is_open for core in self.cores)

    # --- in turns ---

    def on_answer(self, core: StreamCore, data: bytes) -> None:
        """The first DATA frame of the stream `core` has come."""
        socket = core.table.socket
        response = BAIDU_STD.parse(iobuf_of(data), self._limits)
        if core is not self.cores[0] or type(response) is not RpcResponse:
            text = f"{socket.description} sent no answer in the first frame of a stream"
            peer = core.table.peer
            socket.fail(ProtocolError(text, peer=peer, is_remote=True))
            return
        if not response.error_code:
            self._accept(response, core.table)
        else:
            core.table.refuse(_ids_of(response))
        assert self._deliver is not None
        self._deliver(response)

    def on_rst(self, core: StreamCore) -> None:
        """The server has reset a stream instead of answering."""
        text = "the stream was reset by the server before it answered"
        assert self._deliver is not None
        self._deliver(RpcResponse(self.correlation_id, int(ErrorCode.ECONNRESET), text))

    def _accept(self, response: RpcResponse, table: StreamPlace) -> None:
        """Open the streams, or make `response` an error."""
        settings = response.stream_settings
        cores = self.cores
        if settings is None:
            response.error_code = int(ErrorCode.EREQUEST)
            response.error_text = "The server didn't accept the stream"
            return
        remote_ids = _ids_of(response)
        for core, remote_id in zip(cores, remote_ids, strict=False):
            core.connect(remote_id, bool(settings.need_feedback), bool(settings.writable))
            core.open()
        if len(remote_ids) != len(cores):
            response.error_code = int(ErrorCode.EREQUEST)
            text = f"The server accepted {len(remote_ids)} streams instead of {len(cores)}"
            response.error_text = text
            table.refuse(remote_ids[len(cores) :])

    # --- inside ---

    def _detach(self) -> None:
        with self._lock:
            cores, self.cores = self.cores, []
        for core in cores:
            core.table.forget(core)

    def _fail_cores(self, error: RpcError) -> None:
        for core in self.cores:
            if not core.is_open:
                core.table.abandon(core)
            core.fail(error)


def ids_of_answer(data: bytes) -> list[int]:
    """The ids of the server's streams in an answer for which nobody waits any more."""
    response = BAIDU_STD.parse(iobuf_of(data), ParseLimits())
    return _ids_of(response) if type(response) is RpcResponse else []


def _ids_of(response: RpcResponse) -> list[int]:
    """The ids of the server's streams."""
    settings = response.stream_settings
    return [] if settings is None else [settings.stream_id, *settings.extra_stream_ids]
