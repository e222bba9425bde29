"""Bodies compressed and back, and what is refused on the way back."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib

import pytest

from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.compress import (
    MAX_STREAMS,
    CompressType,
    as_compress_type,
    can_compress,
    compress,
    compress_name,
    decompress,
)

SNAPPY, GZIP, ZLIB = CompressType.SNAPPY, CompressType.GZIP, CompressType.ZLIB
MIB = 1024 * 1024
LIMIT = 4 * MIB
BODY = b"it was the best of times, it was the worst of times, " * 100

every_type = pytest.mark.parametrize("kind", [SNAPPY, GZIP, ZLIB])
every_zlib = pytest.mark.parametrize("kind", [GZIP, ZLIB])


def test_types_without_code_are_known() -> None:
    assert [kind for kind in CompressType if not can_compress(kind)] == [CompressType.LZ4]
    assert not can_compress(77)


def test_numbers_are_those_of_brpc() -> None:
    assert {kind.name: kind.value for kind in CompressType} == {
        "NONE": 0,
        "SNAPPY": 1,
        "GZIP": 2,
        "ZLIB": 3,
        "LZ4": 4,
    }


@every_type
@pytest.mark.parametrize("body", [b"", b"x", BODY, bytes(range(256)) * 4096], ids=len)
def test_body_comes_back(kind: int, body: bytes) -> None:
    assert decompress(compress(body, kind), kind, len(body)) == body


@every_type
@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_any_bytes_like_is_decompressed(kind: int, view: type[bytes]) -> None:
    assert decompress(view(compress(BODY, kind)), kind, LIMIT) == BODY


@pytest.mark.parametrize(("kind", "start"), [(GZIP, b"\x1f\x8b\x08\x00"), (ZLIB, b"\x78\x9c")])
def test_gzip_and_zlib_have_the_formats_of_their_names(kind: int, start: bytes) -> None:
    assert compress(BODY, kind).startswith(start)
    assert zlib.decompress(compress(BODY, kind), wbits=zlib.MAX_WBITS | 32) == BODY


@every_type
def test_limit_is_the_size_of_the_decompressed_body(kind: int) -> None:
    packed = compress(BODY, kind)
    assert decompress(packed, kind, len(BODY)) == BODY
    with pytest.raises(BodyError, match=f"is larger than max_body_size={len(BODY) - 1}"):
        decompress(packed, kind, len(BODY) - 1)


@every_type
def test_bomb_is_refused_before_it_has_become_large(kind: int) -> None:
    packed = compress(bytes(64 * MIB), kind)
    tracemalloc.start()
    try:
        with pytest.raises(BodyError, match=f"larger than max_body_size={LIMIT}"):
            decompress(packed, kind, LIMIT)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3 * LIMIT


def test_bomb_of_many_streams_is_refused() -> None:
    one = compress(bytes(MIB), GZIP)
    with pytest.raises(BodyError, match="is larger than max_body_size"):
        decompress(one * 5, GZIP, LIMIT)


def test_many_empty_streams_are_refused() -> None:
    empty = compress(b"", GZIP)
    assert decompress(empty * MAX_STREAMS, GZIP, LIMIT) == b""
    with pytest.raises(BodyError, match=f"more than {MAX_STREAMS} streams"):
        decompress(empty * (MAX_STREAMS + 1), GZIP, LIMIT)


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def declaring(size: int) -> bytes:
    """A snappy body that says it holds `size` bytes, whatever it holds."""
    packed = compress(BODY, SNAPPY)
    return varint(size) + packed[len(varint(len(BODY))) :]


@pytest.mark.parametrize("size", [0, 1, len(BODY) - 1, len(BODY) + 1])
def test_snappy_with_a_wrong_size_is_refused(size: int) -> None:
    assert decompress(declaring(len(BODY)), SNAPPY, LIMIT) == BODY
    with pytest.raises(BodyError, match="is damaged: snappy"):
        decompress(declaring(size), SNAPPY, LIMIT)


def test_snappy_that_declares_more_than_can_be_in_it_makes_no_buffer() -> None:
    packed = declaring(LIMIT)
    tracemalloc.start()
    try:
        with pytest.raises(BodyError, match=f"declare an impossible size of {LIMIT} bytes"):
            decompress(packed, SNAPPY, LIMIT)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < MIB


def test_best_compression_of_snappy_is_possible() -> None:
    """Copies of 64 bytes, which take 3 bytes each: as dense as the format gets."""
    copies = 10_000
    packed = varint(1 + 64 * copies) + b"\x00a" + b"\xfe\x01\x00" * copies
    assert decompress(packed, SNAPPY, LIMIT) == b"a" * (1 + 64 * copies)


@pytest.mark.parametrize("size", [2**32 - 1, 2**32, 2**63])
def test_snappy_that_declares_gigabytes_is_refused(size: int) -> None:
    with pytest.raises(BodyError):
        decompress(declaring(size), SNAPPY, LIMIT)


@every_type
def test_truncated_body_is_refused(kind: int) -> None:
    packed = compress(BODY, kind)
    for size in range(1, len(packed)):
        with pytest.raises(BodyError):
            decompress(packed[:size], kind, LIMIT)


@every_zlib
@pytest.mark.parametrize("back", range(1, 9))
def test_wrong_check_value_or_size_at_the_end(kind: int, back: int) -> None:
    """C++ takes such a body for an empty one. The last 4 bytes of gzip are the size."""
    if kind == ZLIB and back > 4:
        return
    packed = bytearray(compress(BODY, kind))
    packed[-back] ^= 1
    with pytest.raises(BodyError, match="is damaged"):
        decompress(packed, kind, LIMIT)


@every_zlib
def test_several_streams_are_one_body(kind: int) -> None:
    packed = compress(b"one ", kind) + compress(b"", kind) + compress(b"body", kind)
    assert decompress(packed, kind, LIMIT) == b"one body"


@every_zlib
@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_000])
def test_streams_that_end_around_a_step(kind: int, size: int) -> None:
    incompressible = zlib.compress(bytes(range(256)) * 10)[2:]
    one = compress((incompressible * (size // len(incompressible) + 1))[:size], kind)
    plain = zlib.decompress(one, wbits=zlib.MAX_WBITS | 32)
    assert decompress(one * 3, kind, LIMIT) == plain * 3


@every_type
@pytest.mark.parametrize("garbage", [b"\0", b"garbage", b"\x1f\x8b\x08"])
def test_garbage_after_the_body_is_refused(kind: int, garbage: bytes) -> None:
    with pytest.raises(BodyError):
        decompress(compress(BODY, kind) + garbage, kind, LIMIT)


@every_zlib
def test_no_bytes_are_an_empty_body(kind: int) -> None:
    assert decompress(b"", kind, LIMIT) == b""


def test_no_bytes_are_no_snappy() -> None:
    with pytest.raises(BodyError, match="damaged"):
        decompress(b"", SNAPPY, LIMIT)


@pytest.mark.parametrize(("made", "read"), [(GZIP, ZLIB), (ZLIB, GZIP), (SNAPPY, GZIP)])
def test_body_of_another_type_is_refused(made: int, read: int) -> None:
    with pytest.raises(BodyError, match="damaged"):
        decompress(compress(BODY, made), read, LIMIT)


def test_gzip_with_a_name_and_a_time_in_its_header() -> None:
    packed = bytearray(gzip.compress(BODY, mtime=1_000_000))
    packed[3] |= 8
    assert decompress(bytes(packed[:10]) + b"body.bin\0" + packed[10:], GZIP, LIMIT) == BODY


def test_zlib_that_needs_a_dictionary() -> None:
    packer = zlib.compressobj(zdict=b"best of times")
    with pytest.raises(BodyError, match="damaged"):
        decompress(packer.compress(BODY) + packer.flush(), ZLIB, LIMIT)


@pytest.mark.parametrize("kind", [CompressType.LZ4, 99, -1])
def test_unsupported_type_is_refused(kind: int) -> None:
    with pytest.raises(BodyError, match=f"compress_type={kind} is not supported; Com"):
        compress(BODY, kind)
    with pytest.raises(BodyError, match="not supported"):
        decompress(BODY, kind, LIMIT)


def test_snappy_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = compress(BODY, SNAPPY)
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(BodyError, match=r"pip install 'pybrpc\[snappy\]'"):
        compress(BODY, SNAPPY)
    with pytest.raises(BodyError, match=r"pip install 'pybrpc\[snappy\]'"):
        decompress(packed, SNAPPY, LIMIT)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(0, "none"), (1, "snappy"), (2, "gzip"), (3, "zlib"), (4, "unknown"), (99, "unknown")],
)
def test_name_is_that_of_brpc(kind: int, name: str) -> None:
    assert compress_name(kind) == name


def test_number_becomes_its_type() -> None:
    assert as_compress_type(2) is CompressType.GZIP
    assert as_compress_type(99) == 99
