"""Frames of hulu_pbrpc through MessageCutter."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz import vectors
from fuzz.framed_check import check_frames
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import RpcRequest, RpcResponse


def check(data: bytes) -> None:
    check_frames(HULU_PBRPC, data)


def seeds() -> Iterator[bytes]:
    streams = [stream for stream in vectors.recorded() if stream.startswith(b"HULU")]
    for plan, stream in enumerate(streams):
        yield bytes([0, plan]) + stream
    yield bytes([0, BYTEWISE]) + b"".join(streams[:4])
    yield bytes([3, WHOLE]) + streams[0]
    large = RpcRequest(7, "S", "M", bytes(4000), attachment=IOBuf(bytes(900)), credential=b"who")
    yield bytes([0, 7]) + bytes(HULU_PBRPC.pack_request(large))
    yield bytes([1, 8]) + bytes(HULU_PBRPC.pack_request(large)) + streams[0]
    answer = RpcResponse(7, body=b"body", attachment=IOBuf(b"attached"))
    packed = bytes(HULU_PBRPC.pack_response(answer))
    yield bytes([0, 3]) + packed.replace(b"\x40\x04", b"\x40\x7f") + streams[1]
    both = bytes(HULU_PBRPC.pack_request(RpcRequest(7, "S", "M")))
    yield bytes([0, 3]) + both.replace(
        b"\x10" + b"\xff" * 9 + b"\x01", b"\x10" + b"\x81" * 9 + b"\x01"
    )


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        b"HULU",
        b"SOFA",
        b"\x0a\x01S",
        b"\x10\x00",
        b"\x72\x01M",
        b"\x60\x02",
        b"\x40\x02",
    ),
    max_bytes=6000,
)
