"""baidu_std through MessageCutter: out comes what a plain reading of the bytes says, however they
were cut; it packs and parses to itself; never is more awaited than the limit allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from fuzz.references.frames import Fields, Frames, fields_of_message, frames_of, header
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE
from pybrpc.protocols.message import Message, RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, ParseLimits
from pybrpc.testing.check_protocol import pack
from tests.oracles import protobuf_meta

PROTOCOL = BaiduStd()
LIMITS = (DEFAULT_MAX_BODY_SIZE, 5000, 600, 64)


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, plan = given.one_of(LIMITS), given.number()
    stream = given.rest()
    expected = frames_of(stream, limit)
    for messages, is_broken, waiting in _cut(stream, limit, {WHOLE, plan}):
        assert Frames(messages, is_broken, waiting) == expected, plan


def _cut(
    stream: bytes, limit: int, plans: Iterable[int]
) -> Iterator[tuple[list[Fields], bool, int]]:
    for plan in plans:
        cutter = MessageCutter(ParseLimits(limit), (PROTOCOL,))
        found: list[Message] = []
        for piece in pieces_of(stream, plan):
            cutter.buffer.append(piece)
            found += cutter.cut()
            _check_awaits(cutter, limit)
        fields = [fields_of_message(message) for message in found]
        for message in found:
            if isinstance(message, RpcRequest | RpcResponse):
                _check_comes_back(message)
        yield fields, cutter.broken is not None, len(cutter.buffer)


def _check_awaits(cutter: MessageCutter, limit: int) -> None:
    """Invariant 5: no parser buffers past the declared limit."""
    size, wanted = len(cutter.buffer), cutter.bytes_wanted()
    assert size < HEADER_SIZE + max(1, limit)
    assert 0 <= wanted <= HEADER_SIZE + limit - size
    if cutter.broken is None and size >= 4:
        assert wanted > 0 or cutter.buffer.peek(4) == b"STRM"
    else:
        assert cutter.broken is None or size == 0


def _check_comes_back(message: RpcRequest | RpcResponse) -> None:
    size = len(message.attachment or b"")
    encoded = (
        protobuf_meta.encode_request_meta(message, size)
        if isinstance(message, RpcRequest)
        else protobuf_meta.encode_response_meta(message, size)
    )
    packed = bytes(pack(PROTOCOL, message))
    payload = bytes(message.body) + bytes(message.attachment or b"")
    assert packed == header(encoded, payload)
    again = PROTOCOL.parse(IOBuf(packed), ParseLimits())
    assert again == message


def seeds() -> Iterator[bytes]:
    streams = [stream for stream in vectors.recorded() if stream.startswith(b"PRPC")]
    for plan, stream in enumerate(streams):
        yield bytes([0, plan]) + stream
    yield bytes([0, BYTEWISE]) + b"".join(streams[:4])
    yield bytes([3, WHOLE]) + streams[0]
    large = protobuf_meta.encode_request_meta(RpcRequest(7, "S", "M", user_fields={"a": "b"}), 500)
    yield bytes([0, 7]) + header(large, bytes(4500))
    yield bytes([1, 8]) + header(large, bytes(4990)) + streams[0]
    for attachment_size in (9, -9):
        bad = protobuf_meta.encode_response_meta(RpcResponse(7), attachment_size)
        yield bytes([0, 3]) + header(bad, bytes(5)) + streams[1]


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"PRPC", b"STRM", b"\0\0\0\x0c", b"\x12\x00", b"\x0a\x06\x0a\x01S\x12\x01M"),
    max_bytes=6000,
)
