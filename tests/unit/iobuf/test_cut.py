"""Taking bytes off an IOBuf, from either end."""

from __future__ import annotations

import re
import sys

import pytest

from pybrpc.iobuf import IOBuf

PAYLOAD = 8192
LONG = bytes(i * 31 % 251 for i in range(PAYLOAD))


def chain(*parts: bytes) -> IOBuf:
    buf = IOBuf()
    buf.appendv(parts)
    return buf


@pytest.mark.parametrize("pop", [IOBuf.pop_front, IOBuf.pop_back])
def test_pop_of_an_empty_buffer_pops_nothing(pop: object) -> None:
    """bRPC: pop_front, pop_back."""
    assert pop(IOBuf(), 1) == 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("n", "left"), [(0, b"hello"), (1, b"ello"), (4, b"o"), (5, b""), (sys.maxsize, b"")]
)
def test_pop_front_in_one_block(n: int, left: bytes) -> None:
    """bRPC: pop_front."""
    buf = IOBuf(b"hello")
    assert buf.pop_front(n) == 5 - len(left)
    assert buf == left
    assert len(buf) == len(left)


@pytest.mark.parametrize(
    ("n", "left"), [(0, b"hello"), (1, b"hell"), (4, b"h"), (5, b""), (sys.maxsize, b"")]
)
def test_pop_back_in_one_block(n: int, left: bytes) -> None:
    """bRPC: pop_back."""
    buf = IOBuf(b"hello")
    assert buf.pop_back(n) == 5 - len(left)
    assert buf == left
    assert len(buf) == len(left)


@pytest.mark.parametrize("n", range(13))
def test_pop_front_across_blocks(n: int) -> None:
    """bRPC: pop_front."""
    buf = chain(b"abc", b"d", b"efgh", b"ijkl")
    buf.pop_front(1)
    assert buf.pop_front(n) == min(n, 11)
    assert buf == b"bcdefghijkl"[n:]


@pytest.mark.parametrize("n", range(13))
def test_pop_back_across_blocks(n: int) -> None:
    """bRPC: pop_back."""
    buf = chain(b"abc", b"d", b"efgh", b"ijkl")
    buf.pop_front(1)
    assert buf.pop_back(n) == min(n, 11)
    assert buf == b"bcdefghijkl"[: max(0, 11 - n)]


def test_pop_back_does_not_change_buffers_that_share_blocks() -> None:
    buf = IOBuf(LONG)
    twin = buf.copy()
    buf.pop_back(1)
    buf.append(b"!")
    assert buf == LONG[:-1] + b"!"
    assert twin == LONG


def test_iobuf_is_consistent_after_append_pop_cut_and_clear() -> None:
    """bRPC: iobuf_sanity."""
    buf = chain(b"hello world", b"A", b"too simple")
    assert buf.pop_front(1) == 1
    assert buf == b"ello worldAtoo simple"
    assert buf.pop_front(len(buf) + 1) == 21
    assert buf.block_count == 0
    buf.append(b"hello world")
    cut = buf.cutn(0)
    cut.append(buf.cutn(1))
    assert cut == b"h"
    cut.append(buf.cutn(2))
    assert cut == b"hel"
    assert buf == b"lo world"
    buf.clear()
    assert (len(buf), buf.block_count, bytes(buf)) == (0, 0, b"")
    assert cut == b"hel"


@pytest.mark.parametrize("n", range(14))
def test_cutn_across_blocks(n: int) -> None:
    data = b"bcdefghijkl"
    buf = chain(b"abc", b"d", b"efgh", b"ijkl")
    buf.pop_front(1)
    cut = buf.cutn(n)
    assert cut == data[:n]
    assert buf == data[n:]
    assert (len(cut), len(buf)) == (len(data[:n]), len(data[n:]))


def test_cutn_moves_whole_blocks_without_copying() -> None:
    buf = chain(LONG, b"next")
    assert bytes(buf.cutn(PAYLOAD)) is LONG


def test_cutn_of_a_long_part_is_a_view() -> None:
    buf = IOBuf(LONG)
    assert next(iter(buf.cutn(PAYLOAD - 1))).obj is LONG


def test_cutn_of_a_short_part_does_not_hold_the_block() -> None:
    buf = IOBuf(LONG)
    assert next(iter(buf.cutn(100))).obj == LONG[:100]


def test_cutn_returns_bytes_that_were_appended_singly() -> None:
    """bRPC: append_and_cut_it_all."""
    buf = IOBuf()
    for i in range(32768):
        buf.append(bytes((i % 256,)))
    cut = buf.cutn(32768)
    assert not buf
    assert cut == bytes(range(256)) * 128


def test_cutn_in_small_steps_loses_nothing() -> None:
    """bRPC: append_a_lot_and_cut_them_all."""
    word, times = b"12345678901234567", 10000
    buf, cut = IOBuf(), IOBuf()
    for _ in range(times):
        buf.append(word)
    while len(buf) >= 7:
        cut.append(buf.cutn(7))
    remain = len(word) * times % 7
    assert buf == word[-remain:]
    assert len(cut) == len(word) * times - remain
    assert cut + buf == word * times


@pytest.mark.parametrize("n", range(14))
def test_cut_contiguous_across_blocks(n: int) -> None:
    data = b"bcdefghijkl"
    buf = chain(b"abc", b"d", b"efgh", b"ijkl")
    buf.pop_front(1)
    assert buf.cut_contiguous(n) == data[:n]
    assert buf == data[n:]
    assert len(buf) == len(data[n:])


def test_cut_contiguous_returns_a_whole_block_as_that_object() -> None:
    buf = chain(LONG, b"next")
    assert buf.cut_contiguous(PAYLOAD) is LONG
    assert IOBuf(LONG).cut_contiguous(sys.maxsize) is LONG


@pytest.mark.parametrize("skip", [0, 1])
def test_cut_contiguous_returns_a_long_part_as_a_read_only_view(skip: int) -> None:
    buf = IOBuf(LONG)
    buf.pop_front(skip)
    part = buf.cut_contiguous(PAYLOAD - 1)
    assert isinstance(part, memoryview)
    assert part.obj is LONG
    assert part.readonly
    assert part == LONG[skip : skip + PAYLOAD - 1]


def test_releasing_a_cut_view_does_not_affect_other_buffers() -> None:
    buf = IOBuf(memoryview(LONG))
    twin = buf.copy()
    part = buf.cut_contiguous(PAYLOAD)
    assert isinstance(part, memoryview)
    part.release()
    assert twin == LONG


@pytest.mark.parametrize("method", ["cutn", "cut_contiguous", "pop_front", "pop_back", "resize"])
@pytest.mark.parametrize("content", [b"", b"hello"])
def test_negative_count_is_refused(method: str, content: bytes) -> None:
    buf = IOBuf(content)
    with pytest.raises(ValueError, match=re.escape("-1")):
        getattr(buf, method)(-1)
    assert buf == content


@pytest.mark.parametrize(
    ("text", "delimiter", "parts", "rest"),
    [
        (b"1234567\n12\n\n2567", b"\n", [b"1234567", b"12", b""], b"2567"),
        (b"\r\n1234567\r\n12\r\n\n\r2567", b"\r\n", [b"", b"1234567", b"12"], b"\n\r2567"),
        (b"a\r\n\r\n\r\nb", b"\r\n\r\n", [b"a"], b"\r\nb"),
        (b"aaa", b"aaab", [], b"aaa"),
        (b"aaabaaaab", b"aaab", [b"", b"a"], b""),
    ],
)
@pytest.mark.parametrize("block_size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("block_type", [bytes, memoryview])
def test_cut_until_finds_the_delimiter_in_any_layout(
    text: bytes,
    delimiter: bytes,
    parts: list[bytes],
    rest: bytes,
    block_size: int,
    block_type: type[bytes | memoryview],
) -> None:
    """bRPC: cut_by_single_text_delim, cut_by_multiple_text_delim."""
    buf = IOBuf(b"??")
    for i in range(0, len(text), block_size):
        buf.append(block_type(text[i : i + block_size]))
    buf.pop_front(2)
    found = []
    while (part := buf.cut_until(delimiter)) is not None:
        found.append(bytes(part))
    assert found == parts
    assert buf == rest
    buf.append(delimiter)
    assert buf.cut_until(delimiter) == rest
    assert not buf


def test_cut_until_ignores_a_consumed_delimiter() -> None:
    buf = chain(b"a\r", b"\nb")
    buf.pop_front(2)
    assert buf.cut_until(b"\r\n") is None
    buf = chain(b"a\r\nb")
    buf.pop_front(2)
    assert buf.cut_until(b"\r\n") is None


def test_cut_until_refuses_an_empty_delimiter() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        IOBuf(b"x").cut_until(b"")
