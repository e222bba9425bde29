"""Decompression: what the libraries themselves make of the bytes, never more than the limit, or a
BodyError; and what was compressed here comes back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import Parameters
from fuzz.references.compression import DamagedError, inflate, unsnap
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.compress import CompressType, compress, decompress

KINDS = (CompressType.SNAPPY, CompressType.GZIP, CompressType.ZLIB)
LIMITS = (10_000_000, 100_000, 1000, 10, 0)
_RAW, _PLAIN = 0, 1


def check(data: bytes) -> None:
    given = Parameters(data)
    kind, limit = given.one_of(KINDS), given.one_of(LIMITS)
    if given.one_of((_RAW, _PLAIN)) == _PLAIN:
        times = 1 + given.number()
        body: bytes = compress(given.rest() * times, kind)
    else:
        body = given.rest()
    expected = reference(body, kind, limit)
    try:
        plain = decompress(body, kind, limit)
    except BodyError as error:
        assert_says(error)
        assert expected is None or len(expected) > limit
        return
    assert len(plain) <= limit
    assert plain == expected
    assert decompress(memoryview(body), kind, limit) == plain


def reference(body: bytes, kind: int, limit: int) -> bytes | None:
    """`None`: it is damaged, or declares too much."""
    try:
        if kind == CompressType.SNAPPY:
            return unsnap(body, limit)
        return inflate(body, zlib.MAX_WBITS + 16 * (kind == CompressType.GZIP))
    except DamagedError:
        return None


def seeds() -> Iterator[bytes]:
    for number, kind in enumerate(KINDS):
        yield bytes([number, 0, _PLAIN, 200]) + b"abcd" * 50
        yield bytes([number, 1, _RAW]) + compress(b"pybrpc" * 30, kind)
        for body in vectors.bodies(kind):
            yield bytes([number, 2, _RAW]) + body
    for number, wbits in ((1, 31), (2, 15)):
        yield bytes([number, 0, _RAW]) + zlib.compress(b"one", wbits=wbits) * 3


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"\x1f\x8b\x08\0", b"\x78\x9c", b"\x03\0", b"\xff\xff\xff\xff\x0f", b"\xfe\x01\0"),
    max_bytes=600,
)
