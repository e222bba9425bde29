"""Frames of sofa_pbrpc through MessageCutter."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz import vectors
from fuzz.framed_check import check_frames
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.sofa import SOFA_PBRPC


def check(data: bytes) -> None:
    check_frames(SOFA_PBRPC, data)


def seeds() -> Iterator[bytes]:
    streams = [stream for stream in vectors.recorded() if stream.startswith(b"SOFA")]
    for plan, stream in enumerate(streams):
        yield bytes([0, plan]) + stream
    yield bytes([0, BYTEWISE]) + b"".join(streams[:4])
    yield bytes([3, WHOLE]) + streams[0]
    large = bytes(SOFA_PBRPC.pack_request(RpcRequest(7, "S", "M", bytes(4500), compress_type=3)))
    yield bytes([0, 7]) + large
    yield bytes([1, 8]) + large + streams[0]
    failed = bytes(SOFA_PBRPC.pack_response(RpcResponse(7, 5, "why")))
    yield bytes([0, 3]) + failed.replace(b"\xc8\x0c\x05", b"\xc8\x0c\x00") + streams[1]


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        b"SOFA",
        b"HULU",
        b"\x08\x00\x10\x01",
        b"\x08\x01\x10\x01",
        b"\xa2\x06\x03S.M",
        b"\xe0\x12\x03",
    ),
    max_bytes=6000,
)
