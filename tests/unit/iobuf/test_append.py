"""Appending to an IOBuf, and which data is copied."""

from __future__ import annotations

import array
import copy

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.iobuf.iobuf import iobuf_of

PAYLOAD = 8192


def test_append_grows_the_buffer() -> None:
    """bRPC: append."""
    buf = IOBuf()
    assert not buf
    assert len(buf) == 0
    buf.append(b"1")
    assert buf
    assert len(buf) == 1
    buf.append(b"22")
    assert buf == b"122"


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b""), IOBuf()])
def test_append_empty_adds_no_block(empty: bytes | IOBuf) -> None:
    """bRPC: append."""
    buf = IOBuf()
    buf.append(empty)
    assert buf.block_count == 0
    assert bytes(buf) == b""


def test_iobuf_of_builds_a_usable_buffer_of_one_block() -> None:
    block = b"abc"
    buf = iobuf_of(block)
    assert list(buf) == [block]
    buf.append(b"de")
    assert bytes(buf.cutn(4)) == b"abcd"
    assert (len(buf), buf) == (1, b"e")
    assert block == b"abc"


@pytest.mark.parametrize("wrong", [None, "text", 7, [b"x"], object()])
def test_append_refuses_objects_that_are_not_bytes_like(wrong: object) -> None:
    """bRPC: append."""
    buf = IOBuf(b"kept")
    with pytest.raises(TypeError, match=type(wrong).__name__):
        buf.append(wrong)  # type: ignore[arg-type]
    assert buf == b"kept"


def test_append_text_says_to_encode_it() -> None:
    with pytest.raises(TypeError, match="encode"):
        IOBuf("text")  # type: ignore[arg-type]


def test_append_keeps_a_bytes_object_itself() -> None:
    data = b"x" * PAYLOAD
    assert bytes(IOBuf(data)) is data


def test_append_keeps_a_bytes_subclass_without_copying() -> None:
    class Tagged(bytes):
        def __len__(self) -> int:
            return 1

    data = Tagged(b"tagged")
    buf = IOBuf(data)
    assert len(buf) == 6
    assert next(iter(buf)).obj is data


def test_append_shares_a_read_only_view() -> None:
    data = b"x" * PAYLOAD
    buf = IOBuf(memoryview(data)[1:])
    assert next(iter(buf)).obj is data
    assert len(buf) == PAYLOAD - 1


def test_append_survives_release_of_the_view() -> None:
    with memoryview(b"hello") as view:
        buf = IOBuf(view)
    assert buf == b"hello"


@pytest.mark.parametrize("mutable", [bytearray(b"hello"), memoryview(bytearray(b"hello"))])
def test_append_copies_writable_buffers(mutable: bytearray | memoryview) -> None:
    buf = IOBuf(mutable)
    mutable[0] = ord("j")
    assert buf == b"hello"


def test_append_copies_a_strided_view() -> None:
    assert IOBuf(memoryview(b"a-b-c-")[::2]) == b"abc"


def test_append_takes_items_of_any_size_as_bytes() -> None:
    numbers = array.array("i", [1, 2, 3])
    buf = IOBuf(memoryview(numbers).toreadonly())
    assert len(buf) == 3 * numbers.itemsize
    assert bytes(buf) == numbers.tobytes()


def test_appendv_keeps_order_and_lengths() -> None:
    """bRPC: appendv."""
    parts = [b"%s%d" % (word, i) for i in range(1, 6) for word in (b"hello", b" world")]
    parts[2] = parts[2][:4]
    parts[5] = parts[5][:3]
    buf = IOBuf()
    buf.appendv(parts)
    assert buf == b"hello1 world1hell world2hello3 wohello4 world4hello5 world5"


def test_appendv_appends_long_parts() -> None:
    """bRPC: appendv, nine blocks' worth."""
    data = bytes(i * 7 % 256 for i in range(PAYLOAD * 9))
    third = len(data) // 3
    buf = IOBuf()
    buf.appendv([data[: third // 2], memoryview(data)[third // 2 : third], bytearray(data[third:])])
    assert buf == data
    assert buf.block_count == 3


def test_append_iobuf_shares_blocks_and_leaves_the_source() -> None:
    data = b"x" * PAYLOAD
    source = IOBuf(data)
    source.append(b"tail")
    buf = IOBuf(b"head")
    buf.append(source)
    assert buf == b"head" + data + b"tail"
    assert source == data + b"tail"
    assert [view.obj for view in buf][1] is data


def test_append_shares_the_rest_of_a_partly_consumed_iobuf() -> None:
    source = IOBuf(b"hello")
    source.pop_front(3)
    buf = IOBuf(b"he")
    buf.append(source)
    buf.append(source)
    assert buf == b"helolo"


def test_iobuf_can_be_appended_to_itself() -> None:
    buf = IOBuf(b"ab")
    buf.append(b"cd")
    buf.pop_front(1)
    buf.append(buf)
    assert buf == b"bcdbcd"
    assert len(buf) == 6


def test_resize_fills_and_cuts() -> None:
    """bRPC: resize."""
    buf = IOBuf()
    buf.resize(100)
    assert buf == bytes(100)
    buf.resize(150, ord("b"))
    assert buf == bytes(100) + b"b" * 50
    buf.resize(1)
    assert buf == b"\0"


def test_copy_shares_and_is_independent() -> None:
    """bRPC: copy_and_assign."""
    first = IOBuf(b"hello")
    first.resize(2 * PAYLOAD, ord("z"))
    second = first.copy()
    third = copy.copy(second)
    assert first == second == third
    assert [v.obj for v in first] == [v.obj for v in second]
    second.pop_front(5)
    third.append(b"!")
    assert len(first) == 2 * PAYLOAD
    assert second == b"z" * (2 * PAYLOAD - 5)
    assert third != first


def test_swap_exchanges_contents() -> None:
    """bRPC: swap."""
    a = IOBuf(b"xI'm a")
    a.pop_front(1)
    b = IOBuf(b"I'm longer b")
    a.swap(b)
    assert a == b"I'm longer b"
    assert b == b"I'm a"
    assert (len(a), len(b)) == (12, 5)


def test_plus_makes_a_new_buffer_and_plus_equals_extends() -> None:
    a = IOBuf(b"a")
    both = a + b"b"
    a += IOBuf(b"c")
    assert both == b"ab"
    assert a == b"ac"
