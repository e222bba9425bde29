"""Chunks of RTMP, taken apart one after another from bytes that have all come."""

from __future__ import annotations

from dataclasses import dataclass, field

Fields = tuple[int, int, int, bytes]
"""Type, stream id, timestamp, payload."""

_U32 = 1 << 32
_SET_CHUNK_SIZE, _ABORT, _WINDOW_ACK, _AGGREGATE = 1, 2, 5, 22
_MEDIA = 8, 9, 18


class _BrokenError(Exception):
    pass


class _TooShortError(Exception):
    pass


@dataclass(slots=True)
class _Stream:
    """A chunk stream; `body` is that of the message that is not complete."""

    kind: int = 0
    stream_id: int = 0
    time: int = 0
    delta: int = 0
    length: int = 0
    extension: bytes = b""
    body: bytes | None = None


@dataclass(slots=True)
class RtmpChunks:
    """The contents of some bytes: messages; whether they are malformed; else the bytes of messages
    that are not complete, and the window for Acks."""

    max_message: int
    max_partial: int
    messages: list[Fields] = field(default_factory=list)
    is_broken: bool = False
    chunk_size: int = 128
    ack_window: int = 2_500_000
    _streams: dict[int, _Stream] = field(default_factory=dict)

    def read(self, data: bytes) -> RtmpChunks:
        try:
            while data:
                data = self._read_chunk(data)
        except _TooShortError:
            pass
        except _BrokenError:
            self.is_broken = True
        return self

    @property
    def partial_bytes(self) -> int:
        return sum(len(stream.body or b"") for stream in self._streams.values())

    def _read_chunk(self, data: bytes) -> bytes:
        """The rest. What is there of a chunk that is not whole goes into its message."""
        fmt, number, data = _basic_header(data)
        stream = self._streams.get(number)
        if stream is None:
            if fmt > 1 or len(self._streams) == 64:
                raise _BrokenError
            stream = _Stream()
        elif stream.body is not None and fmt != 3:
            raise _BrokenError
        if fmt != 3:
            data = self._read_header(fmt, stream, data)
        elif stream.extension and (stream.body is None or data[:4] == stream.extension):
            stream.extension, data = _cut(data, 4)
            if stream.body is None:
                stream.delta = int.from_bytes(stream.extension, "big")
        elif stream.extension and stream.extension.startswith(data):
            raise _TooShortError
        self._streams[number] = stream
        if stream.body is None:
            self._begin(stream)
        return self._add(stream, data)

    def _read_header(self, fmt: int, stream: _Stream, data: bytes) -> bytes:
        header, data = _cut(data, (11, 7, 3)[fmt])
        time, extension = header[:3], b""
        if time == b"\xff\xff\xff":
            extension, data = _cut(data, 4)
            time = extension
        stream.extension, stream.delta = extension, int.from_bytes(time, "big")
        if fmt < 2:
            stream.length, stream.kind = int.from_bytes(header[3:6], "big"), header[6]
        if fmt == 0:
            stream.stream_id, stream.time = int.from_bytes(header[7:], "little"), 0
        return data

    def _begin(self, stream: _Stream) -> None:
        most_chunks = -(-self.max_message // 128)
        if stream.length > min(self.max_message, most_chunks * self.chunk_size):
            raise _BrokenError
        stream.time = (stream.time + stream.delta) % _U32
        stream.body = b""

    def _add(self, stream: _Stream, data: bytes) -> bytes:
        assert stream.body is not None
        size = min(stream.length - len(stream.body), self.chunk_size)
        part, rest = data[:size], data[size:]
        stream.body += part
        if len(stream.body) == stream.length:
            body, stream.body = stream.body, None
            self._end(stream, body)
        elif self.partial_bytes > self.max_partial:
            raise _BrokenError
        return rest

    def _end(self, stream: _Stream, body: bytes) -> None:
        number = int.from_bytes(body[:4], "big")
        if stream.kind in (_SET_CHUNK_SIZE, _ABORT, _WINDOW_ACK) and len(body) < 4:
            raise _BrokenError
        if stream.kind == _SET_CHUNK_SIZE:
            if not 0 < number < 1 << 31:
                raise _BrokenError
            self.chunk_size = number
        elif stream.kind == _ABORT:
            if number in self._streams:
                self._streams[number].body = None
        elif stream.kind == _WINDOW_ACK:
            self.ack_window = max(number, 4096)
        elif stream.kind == _AGGREGATE:
            self.messages += _parts(stream, body)
        else:
            self.messages.append((stream.kind, stream.stream_id, stream.time, body))


def _basic_header(data: bytes) -> tuple[int, int, bytes]:
    first, data = _cut(data, 1)
    fmt, number = divmod(first[0], 64)
    if number == 0:
        more, data = _cut(data, 1)
        return fmt, 64 + more[0], data
    if number == 1:
        more, data = _cut(data, 2)
        return fmt, 64 + more[0] + 256 * more[1], data
    return fmt, number, data


def _parts(stream: _Stream, body: bytes) -> list[Fields]:
    found: list[Fields] = []
    first: int | None = None
    while body:
        if len(body) < 11 or len(body) < 11 + int.from_bytes(body[1:4], "big"):
            raise _BrokenError
        size = int.from_bytes(body[1:4], "big")
        time = int.from_bytes(body[7:8] + body[4:7], "big")
        first = time if first is None else first
        if body[0] in _MEDIA:
            moved = (stream.time + time - first) % _U32
            found.append((body[0], stream.stream_id, moved, body[11 : 11 + size]))
        body = body[11 + size + 4 :]
    return found


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise _TooShortError
    return data[:size], data[size:]
