"""ChunkReader: the messages in the chunks that one side of an RTMP connection receives.

    fmt: 2 bits, chunk stream id | message header: 11, 7, 3 or 0 bytes | extended timestamp | data

A chunk has at most `chunk_size` bytes of one message; those of different chunk streams interleave
(RTMP 1.0, 5.3). The reader takes all bytes at once, not only whole chunks, and keeps the part of a
message in a bytearray: so one byte at a time costs neither time nor memory that grows with the
square of the size.

Publishers that stay at chunks of 128 bytes send thousands of headers of one byte for a frame. A run
of them is removed with one slice (`_take_run`).

Extended timestamps (RTMP 1.0, 5.3.1.3) follow a time of 0xFFFFFF: in live streams, after 4 h
38 min. Then each chunk of fmt 3 repeats the four bytes, but librtmp leaves them out: inside a
message they are skipped only if they are equal to those of its header. C++ bRPC and SRS skip four
zero bytes too, which are more likely to be data.
"""

from __future__ import annotations

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.rtmp.aggregate import MalformedAggregateError, split_aggregate
from pybrpc.protocols.rtmp.message import (
    ABORT,
    AGGREGATE,
    DEFAULT_ACK_WINDOW,
    DEFAULT_MAX_MESSAGE_BYTES,
    INITIAL_CHUNK_SIZE,
    MAX_CHUNK_SIZE,
    SET_CHUNK_SIZE,
    U32_MASK,
    WINDOW_ACK,
    RtmpMessage,
    number_in,
)

MAX_CHUNK_STREAMS = 64
"""Chunk streams of one connection; ffmpeg, librtmp and gstreamer use at most five."""

MAX_PARTIAL_BYTES = 8 * 1024 * 1024
"""Received bytes of incomplete messages, over all chunk streams of a connection."""

MIN_ACK_WINDOW = 4096
"""Bytes. A peer that asks for more frequent Acks gets them this often."""

MANY_CHUNKS, MIN_MEAN_CHUNK_BYTES = 4096, 8
"""Bytes that are taken at once and have more chunks than these, of fewer bytes on average with
headers, are a flood: each costs time. Those that are taken in a run do not count."""

MAX_AT_ONCE = 1024
"""Messages that `read` returns at once: one byte may be a message."""

_LARGEST_CHUNK = 16 * 1024 * 1024
"""Larger chunks than the longest message make no difference."""

_TAKE_BYTES = 64 * 1024
_MAX_RUN = 256
"""Headers that are looked at together. More would cost too much if chunk streams interleave."""

_EXTENDED = 0xFFFFFF
_HEADER_SIZES = 11, 7, 3
_OWN = frozenset((SET_CHUNK_SIZE, ABORT, WINDOW_ACK))


class _MalformedChunkError(Exception):
    """Nothing after it can be read."""


class _ChunkStream:
    """The last header of a chunk stream, and the message that it is inside of.

    `missing` bytes of that are to come; 0 between messages. `extension` are the bytes of its
    extended timestamp. `repeat` is the header of fmt 3, if that is a byte.
    """

    __slots__ = (
        "body",
        "delta",
        "extension",
        "length",
        "message_type",
        "missing",
        "number",
        "repeat",
        "stream_id",
        "timestamp",
    )

    def __init__(self, chunk_stream_id: int) -> None:
        self.repeat = bytes((0xC0 | chunk_stream_id,)) if chunk_stream_id < 64 else b""
        self.timestamp = 0
        self.delta = 0
        self.extension = b""
        self.length = 0
        self.message_type = 0
        self.stream_id = 0
        self.missing = 0
        self.body: bytearray | None = None
        self.number = 0
        """How many messages had begun before the one that it is inside of."""


class ChunkReader:
    """Reads the chunks of one connection. For one thread at a time; does no I/O.

    SetChunkSize, Abort and WindowAck change its state, and are not returned. Aggregate messages are
    split. `broken` is set once the bytes are malformed or over a limit.

    `max_message_bytes` limits the length of a message, `received_bytes` are those that were read
    before, such as the handshake. A message may have as many chunks as one of `max_message_bytes`
    has in chunks of 128 bytes, so with smaller chunks its length is limited further.
    """

    __slots__ = (
        "_at",
        "_begun",
        "_chunks",
        "_data",
        "_left",
        "_max_chunks",
        "_max_message",
        "_max_partial",
        "_partial",
        "_stream",
        "_streams",
        "_unacked",
        "ack_window",
        "broken",
        "chunk_size",
        "received_bytes",
    )

    def __init__(
        self,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        max_partial_bytes: int = MAX_PARTIAL_BYTES,
        received_bytes: int = 0,
    ) -> None:
        self.broken: Broken | None = None
        self.chunk_size = INITIAL_CHUNK_SIZE
        self.ack_window = DEFAULT_ACK_WINDOW
        self.received_bytes = received_bytes
        self._unacked = received_bytes
        self._max_message = max_message_bytes
        self._max_partial = max_partial_bytes
        self._max_chunks = -(-max_message_bytes // INITIAL_CHUNK_SIZE)
        self._streams: dict[int, _ChunkStream] = {}
        self._partial = 0
        self._begun = 0
        self._chunks = 0
        """Chunks in the bytes that were taken last."""
        self._data = b""
        self._at = 0
        self._stream = _ChunkStream(0)
        """The chunk stream of the last header; `_left` bytes of that chunk are to come."""
        self._left = 0

    def read(self, buffer: IOBuf, at_most: int = MAX_AT_ONCE) -> list[RtmpMessage]:
        """Take bytes off `buffer`, and return the messages that they complete, in order.

        About `at_most` messages are returned: the last one may be an aggregate. Call it again until
        it returns none; then all bytes are taken. No bytes make it raise.
        """
        messages: list[RtmpMessage] = []
        if self.broken is not None:
            buffer.clear()
            return messages
        try:
            while True:
                self._parse(messages, at_most)
                if len(messages) >= at_most or not buffer:
                    break
                self._take(buffer)
        except (_MalformedChunkError, MalformedAggregateError) as error:
            self._break(str(error))
            buffer.clear()
        return messages

    def take_ack(self) -> int | None:
        """The number for an Ack, if more than a window was received since the last one."""
        if self._unacked <= self.ack_window:
            return None
        self._unacked = 0
        return self.received_bytes & U32_MASK

    @property
    def held_bytes(self) -> int:
        """Received bytes that it keeps, of incomplete messages and of what is not parsed yet."""
        return self._partial + len(self._data) - self._at

    @property
    def unfinished_mark(self) -> int:
        """A number that changes when the message that is incomplete for longest has come, or was
        aborted."""
        numbers = [stream.number for stream in self._streams.values() if stream.missing]
        return min(numbers, default=self._begun)

    def __repr__(self) -> str:
        state = ", broken" if self.broken is not None else ""
        return f"<ChunkReader, {self.received_bytes} bytes, {self._partial} partial{state}>"

    def _take(self, buffer: IOBuf) -> None:
        """Continue with the next bytes. What `_parse` has left is part of a header."""
        chunks, self._chunks = self._chunks, 0
        if chunks > MANY_CHUNKS and len(self._data) < MIN_MEAN_CHUNK_BYTES * chunks:
            raise _MalformedChunkError(f"{chunks} chunks in {len(self._data)} bytes")
        block = buffer.cut_contiguous(_TAKE_BYTES)
        rest = self._data[self._at :]
        self._data = b"".join((rest, block)) if rest else bytes(block)
        self._at = 0
        self.received_bytes += len(block)
        self._unacked += len(block)

    def _parse(self, messages: list[RtmpMessage], at_most: int) -> None:
        data, at = self._data, self._at
        end = len(data)
        while at < end and len(messages) < at_most:
            left = self._left
            if not left:
                after = self._read_header(data, at)
                if not after:
                    break
                at = after
                left = min(self._stream.missing, self.chunk_size)
                self._chunks += 1
            stream = self._stream
            size = min(left, end - at)
            self._left = left - size
            stream.missing -= size
            self._at = at + size
            if not stream.missing:
                self._complete(stream, data[at : at + size], messages)
            elif size:
                self._keep(stream, data[at : at + size])
                if size == self.chunk_size and data.startswith(stream.repeat, self._at):
                    self._take_run(stream)
            at = self._at

    def _read_header(self, data: bytes, at: int) -> int:
        """Read the header at index `at`; return the index behind it, or 0 if it is not whole.

        Nothing changes before it is whole.
        """
        first = data[at]
        chunk_stream_id = first & 0x3F
        at += 1
        if chunk_stream_id < 2:
            end = at + chunk_stream_id + 1
            if len(data) < end:
                return 0
            chunk_stream_id = 64 + int.from_bytes(data[at:end], "little")
            at = end
        fmt = first >> 6
        stream = self._streams.get(chunk_stream_id)
        if stream is None:
            if fmt > 1:
                raise _MalformedChunkError(f"chunk stream {chunk_stream_id} begins with fmt {fmt}")
            if len(self._streams) >= MAX_CHUNK_STREAMS:
                raise _MalformedChunkError(f"more than {MAX_CHUNK_STREAMS} chunk streams")
        elif fmt == 3:
            return self._read_repeated(stream, data, at)
        elif stream.missing:
            raise _MalformedChunkError(
                f"a header of fmt {fmt} inside a message of chunk stream {chunk_stream_id}"
            )
        end = at + _HEADER_SIZES[fmt]
        if len(data) < end:
            return 0
        time = int.from_bytes(data[at : at + 3], "big")
        extension = b""
        if time == _EXTENDED:
            if len(data) < end + 4:
                return 0
            extension = data[end : end + 4]
            time = int.from_bytes(extension, "big")
        if stream is None:
            stream = self._streams[chunk_stream_id] = _ChunkStream(chunk_stream_id)
        if fmt < 2:
            stream.length = int.from_bytes(data[at + 3 : at + 6], "big")
            stream.message_type = data[at + 6]
        if fmt == 0:
            stream.stream_id = int.from_bytes(data[at + 7 : at + 11], "little")
            stream.timestamp = 0
        stream.extension = extension
        self._begin(stream, time)
        return end + len(extension)

    def _read_repeated(self, stream: _ChunkStream, data: bytes, at: int) -> int:
        """A header of fmt 3: the message goes on, or one like the last one begins."""
        extension = stream.extension
        if extension:
            found = data[at : at + 4]
            if stream.missing:
                if found == extension:
                    at += 4
                elif extension.startswith(found):
                    return 0
            elif len(found) < 4:
                return 0
            else:
                at += 4
                stream.extension = found
                stream.delta = int.from_bytes(found, "big")
        if not stream.missing:
            self._begin(stream, stream.delta)
        self._stream = stream
        return at

    def _begin(self, stream: _ChunkStream, delta: int) -> None:
        length = stream.length
        if length > self._max_message:
            raise _MalformedChunkError(
                f"a message of {length} bytes is longer than max_message_bytes={self._max_message}"
            )
        if length > self.chunk_size * self._max_chunks:
            raise _MalformedChunkError(
                f"a message of {length} bytes in chunks of {self.chunk_size} bytes"
            )
        stream.delta = delta
        stream.timestamp = (stream.timestamp + delta) & U32_MASK
        stream.missing = length
        stream.number = self._begun
        self._begun += 1
        self._stream = stream

    def _keep(self, stream: _ChunkStream, part: bytes | bytearray) -> None:
        """Add a part of a message that is not complete."""
        self._partial += len(part)
        if self._partial > self._max_partial:
            raise _MalformedChunkError(
                f"incomplete messages have more than {self._max_partial} bytes"
            )
        if stream.body is None:
            stream.body = bytearray(part)
        else:
            stream.body += part

    def _take_run(self, stream: _ChunkStream) -> None:
        """Take the whole chunks that follow, if their headers are one byte, of fmt 3.

        The last chunk of a message is left to `_parse`, which completes it.
        """
        data, at, size = self._data, self._at, self.chunk_size
        stride = size + 1
        count = min((stream.missing - 1) // size, (len(data) - at) // stride, _MAX_RUN)
        if count < 2 or stream.extension or not stream.repeat:
            return
        headers = data[at : at + count * stride : stride]
        count -= len(headers.lstrip(stream.repeat))
        if not count:
            return
        run = bytearray(data[at : at + count * stride])
        del run[::stride]
        self._keep(stream, run)
        stream.missing -= len(run)
        self._at = at + count * stride

    def _complete(self, stream: _ChunkStream, last: bytes, messages: list[RtmpMessage]) -> None:
        payload, body = last, stream.body
        if body is not None:
            self._partial -= len(body)
            stream.body = None
            body += last
            payload = bytes(body)
        message_type = stream.message_type
        message = RtmpMessage(message_type, payload, stream.stream_id, stream.timestamp)
        if message_type in _OWN:
            self._apply(message_type, payload)
        elif message_type == AGGREGATE:
            messages += split_aggregate(message)
        else:
            messages.append(message)

    def _apply(self, message_type: int, payload: bytes) -> None:
        number = number_in(payload)
        if number is None:
            raise _MalformedChunkError(
                f"a control message of type {message_type} has {len(payload)} bytes"
            )
        if message_type == SET_CHUNK_SIZE:
            if not 1 <= number <= MAX_CHUNK_SIZE:
                raise _MalformedChunkError(f"a chunk size of {number} bytes")
            self.chunk_size = min(number, _LARGEST_CHUNK)
        elif message_type == WINDOW_ACK:
            self.ack_window = max(number, MIN_ACK_WINDOW)
        elif (stream := self._streams.get(number)) is not None:
            self._partial -= len(stream.body or b"")
            stream.body = None
            stream.missing = 0

    def _break(self, reason: str) -> None:
        self.broken = Broken(f"RTMP: {reason}")
        self._streams.clear()
        self._stream = _ChunkStream(0)
        self._data = b""
        self._at = self._left = self._partial = 0
