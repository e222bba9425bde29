"""Reading an IOBuf without changing it."""

from __future__ import annotations

import itertools

import pytest

from pybrpc.iobuf import IOBuf

ALPHABET = b"abcdefghijklmnopqrstuvwxyz"


def in_blocks(data: bytes, size: int, skipped: int = 2) -> IOBuf:
    """`data` in blocks of `size` bytes; the first block has an unused start."""
    buf = IOBuf(b"?" * skipped + data[:size])
    for i in range(size, len(data), size):
        buf.append(data[i : i + size])
    buf.pop_front(skipped)
    return buf


LAYOUTS = [1, 5, 25, 26, 1000]


@pytest.mark.parametrize("size", LAYOUTS)
def test_peek_at_any_offset_and_length(size: int) -> None:
    buf = in_blocks(ALPHABET, size)
    for offset, n in itertools.product(range(29), range(29)):
        assert buf.peek(n, offset) == ALPHABET[offset : offset + n]
    assert buf.peek() == ALPHABET
    assert buf.peek(offset=20) == ALPHABET[20:]
    assert buf == ALPHABET


def test_peek_returns_bytes_of_any_block() -> None:
    assert type(IOBuf(memoryview(ALPHABET)).peek(4)) is bytes


@pytest.mark.parametrize("size", LAYOUTS)
def test_copy_to_at_any_offset_and_length(size: int) -> None:
    """bRPC: copy_to."""
    buf = in_blocks(ALPHABET, size)
    for offset, n in itertools.product(range(29), range(29)):
        target = bytearray(40)
        expected = ALPHABET[offset : offset + n]
        assert buf.copy_to(target, n, offset) == len(expected)
        assert target == expected.ljust(40, b"\0")
    assert buf == ALPHABET


def test_copy_to_stops_at_the_end_of_the_target() -> None:
    """bRPC: copy_to."""
    target = bytearray(10)
    assert in_blocks(ALPHABET, 4).copy_to(memoryview(target)[2:9], offset=1) == 7
    assert target == b"\0\0" + ALPHABET[1:8] + b"\0"


def test_copy_to_refuses_a_read_only_target() -> None:
    with pytest.raises(TypeError, match="read-only"):
        IOBuf(b"x").copy_to(memoryview(bytes(1)))


@pytest.mark.parametrize(("n", "offset"), [(-1, 0), (0, -1), (-1, -1), (None, -1)])
def test_negative_range_is_refused(n: int | None, offset: int) -> None:
    buf = IOBuf(b"hello")
    with pytest.raises(ValueError, match="-1"):
        buf.peek(n, offset)
    with pytest.raises(ValueError, match="-1"):
        buf.copy_to(bytearray(5), n, offset)


def test_iteration_gives_every_byte_in_order() -> None:
    """bRPC: slice, iterate_bytes, copy_to_string_from_iterator."""
    data = ALPHABET * 4000
    buf = in_blocks(data, 9999)
    views = list(buf)
    assert b"".join(views) == data
    assert bytes(itertools.chain.from_iterable(views)) == data
    assert len(views) == buf.block_count
    assert all(view.readonly and len(view) for view in views)


def test_iteration_stays_ended_after_a_later_append() -> None:
    """bRPC: iterate_bytes."""
    buf = IOBuf(b"hello world")
    views = iter(buf)
    assert list(views) == [b"hello world"]
    buf.append(b", this is iobuf")
    assert list(views) == []


def test_iteration_ignores_changes_after_it_began() -> None:
    buf = in_blocks(ALPHABET, 5)
    views = iter(buf)
    first = next(views)
    buf.append(b"more")
    buf.pop_front(7)
    assert bytes(first) + b"".join(views) == ALPHABET


def test_releasing_a_view_does_not_affect_the_buffer() -> None:
    buf = IOBuf(memoryview(ALPHABET))
    for view in buf:
        view.release()
    assert buf == ALPHABET


def test_buffers_are_equal_in_any_layout() -> None:
    """bRPC: compare."""
    one, two = IOBuf(), IOBuf()
    for _ in range(100):
        one.append(IOBuf(ALPHABET))
        one.append(memoryview(ALPHABET))
    for size in (13, 26, 39, 52) * 40:
        two.append((ALPHABET * 2)[len(two) % 26 :][:size])
    assert len(one) == len(two) == 5200
    assert one == two
    three = two.copy()
    two.append(b"0")
    assert one != two
    assert one == three
    one.clear()
    two.clear()
    assert one == two


def test_buffers_of_the_same_length_differ() -> None:
    assert in_blocks(ALPHABET, 5) != in_blocks(ALPHABET[:-1] + b"!", 7)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_iobuf_equals_other_bytes_like_objects(kind: type[bytes | bytearray | memoryview]) -> None:
    buf = in_blocks(ALPHABET, 5)
    assert buf == kind(ALPHABET)
    assert kind(ALPHABET) == buf
    assert buf != kind(ALPHABET[:-1])


def test_iobuf_does_not_equal_other_objects() -> None:
    assert IOBuf(b"a") != "a"
    assert IOBuf() != None  # noqa: E711


def test_iobuf_is_not_hashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(IOBuf())


def test_repr_shows_size_blocks_and_the_first_bytes() -> None:
    text = repr(in_blocks(ALPHABET, 5))
    assert "26 bytes" in text
    assert "6 blocks" in text
    assert "b'abcdefghijklmnop'..." in text
    assert "b'ab'>" in repr(IOBuf(b"ab"))
