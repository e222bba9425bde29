"""The other side of streams, over a plain socket: frames by hand, in both roles."""

from __future__ import annotations

import contextlib
import queue
import socket
from typing import Any, Self

from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, ParseLimits
from pybrpc.protocols.streaming.stream_frame import (
    DATA,
    NO_STREAM,
    StreamFrame,
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)
from pybrpc.protocols.streaming.streaming_rpc import StreamingRpc
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.stream_options import StreamOptions
from tests.fakes.threads import WAIT_S
from tests.peers.echo import echo_frame
from tests.peers.raw_peer import EchoResponse, request, text_of

PARSER = StreamingRpc()


class FrameEnd:
    """Reads and writes frames on a connected blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = IOBuf()

    def read(self) -> Any:
        """The next frame: a StreamFrame, RpcRequest or RpcResponse. ConnectionError at the end."""
        while (message := self._parse()) is NEED_MORE:
            data = self.sock.recv(1 << 18)
            if not data:
                raise ConnectionError("EOF")
            self._buffer.append(data)
        assert isinstance(message, StreamFrame | RpcRequest | RpcResponse), message
        return message

    def _parse(self) -> Any:
        if not len(self._buffer):
            return NEED_MORE
        outcome = PARSER.parse(self._buffer, ParseLimits())
        return BAIDU_STD.parse(self._buffer, ParseLimits()) if outcome is NOT_MINE else outcome

    def read_of(self, *kinds: int) -> StreamFrame:
        """The next stream frame of one of these kinds; others are skipped."""
        while True:
            frame = self.read()
            if isinstance(frame, StreamFrame) and frame.frame_type in kinds:
                return frame

    def read_until_closed(self) -> list[Any]:
        """All frames until the end, or a reset."""
        frames = []
        with contextlib.suppress(ConnectionError):
            while True:
                frames.append(self.read())
        return frames

    def send(self, *frames: bytes) -> None:
        self.sock.sendall(b"".join(frames))

    def echo_until_closed(self) -> None:
        """As a server."""
        with contextlib.suppress(ConnectionError):
            while True:
                message = self.read()
                if isinstance(message, RpcRequest):
                    self.send(echo_frame(message))

    def echo(self, message: str) -> tuple[str, list[StreamFrame]]:
        """A call: all before it was handled. What was answered, and the frames that came before."""
        self.send(bytes(BAIDU_STD.pack_request(request(999, message=message))))
        frames = []
        while not isinstance(frame := self.read(), RpcResponse):
            frames.append(frame)
        assert frame.correlation_id == 999
        return text_of(frame), frames


class RemoteStream:
    """A stream as the plain side knows it: its own id, and that of the library's side."""

    def __init__(self, end: FrameEnd, own_id: int, their_id: int) -> None:
        self.end = end
        self.own_id = own_id
        self.their_id = their_id

    def data(self, message: bytes, goes_on: bool = False) -> bytes:
        meta = data_meta(self.their_id, self.own_id, has_continuation=goes_on)
        return bytes(pack_data(meta, message))

    def feedback(self, consumed: int) -> bytes:
        return pack_feedback(self.their_id, self.own_id, consumed)

    def close(self) -> bytes:
        return pack_close(self.their_id, self.own_id)

    def rst(self) -> bytes:
        return pack_rst(self.their_id)


class RawStreamClient(FrameEnd):
    """A client that opens streams by hand."""

    def __init__(self, endpoint: Any, receive_buffer_bytes: int | None = None) -> None:
        sock = socket.socket()
        sock.settimeout(WAIT_S)
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.connect((endpoint.host, endpoint.port))
        super().__init__(sock)

    def ask(self, *ids: int, method: str = "Stream", **fields: Any) -> None:
        settings = StreamSettings(ids[0], True, True, ids[1:])
        asked = request(1, method, stream_settings=settings, **fields)
        self.send(bytes(BAIDU_STD.pack_request(asked)))

    def read_answer(self) -> RpcResponse:
        """The answer that comes in the first frame of a stream."""
        frame = self.read_of(DATA)
        answer = BAIDU_STD.parse(IOBuf(frame.data), ParseLimits())
        assert isinstance(answer, RpcResponse)
        settings = answer.stream_settings
        source = NO_STREAM if settings is None else settings.stream_id
        assert frame.source_stream_id == source
        return answer

    def open(self, *ids: int, **fields: Any) -> list[RemoteStream]:
        """Ask for streams, which are accepted."""
        self.ask(*ids, **fields)
        answer = self.read_answer()
        assert answer.error_code == 0, answer.error_text
        settings = answer.stream_settings
        assert settings is not None
        theirs = (settings.stream_id, *settings.extra_stream_ids)
        pairs = zip(ids, theirs, strict=True)
        return [RemoteStream(self, own, their) for own, their in pairs]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()


class Accepting:
    """A handler that accepts what it is asked for, and keeps the streams for the test."""

    def __init__(self, options: StreamOptions | None = None, body: Any = None) -> None:
        self.options = options
        self.body = body
        self.kept: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.errors: queue.SimpleQueue[RpcError] = queue.SimpleQueue()

    def __call__(self, request: Any, controller: Controller) -> Any:
        try:
            streams = controller.accept_streams(self.options, body=self.body)
        except RpcError as error:
            self.errors.put(error)
            raise
        for stream in streams:
            self.kept.put(stream)
        return EchoResponse(message="accepted")

    def take(self) -> Any:
        return self.kept.get(timeout=WAIT_S)


def answer_of(
    asked: RpcRequest, *ids: int, correlation_id: int | None = None, **fields: Any
) -> bytes:
    """The whole frame of baidu_std that accepts streams; without ids, none."""
    settings = StreamSettings(ids[0], True, True, ids[1:]) if ids else None
    number = asked.correlation_id if correlation_id is None else correlation_id
    body = EchoResponse(message="accepted").SerializeToString()
    response = RpcResponse(number, body=body, stream_settings=settings, **fields)
    return bytes(BAIDU_STD.pack_response(response))


def in_first_frame(asked: RpcRequest, payload: bytes, source: int = NO_STREAM) -> bytes:
    """The first DATA frame to the first stream that `asked` opens."""
    assert asked.stream_settings is not None
    return bytes(pack_data(data_meta(asked.stream_settings.stream_id, source), payload))


def accept(peer: Any, *ids: int) -> list[RemoteStream]:
    """For the script of a ScriptedServer: accept what the next request asks for."""
    asked = peer.expect_request()
    settings = asked.stream_settings
    assert settings is not None
    peer.send(in_first_frame(asked, answer_of(asked, *ids), ids[0]))
    theirs = (settings.stream_id, *settings.extra_stream_ids)
    end = FrameEnd(peer.sock)
    return [RemoteStream(end, own, their) for own, their in zip(ids, theirs, strict=True)]
