"""Buffers of users, and when `on_release` is called for them."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import pytest

from pybrpc.iobuf import IOBuf

SIZE = 4096


@pytest.fixture
def released() -> list[object]:
    return []


@pytest.fixture
def lent(released: list[object]) -> IOBuf:
    buf = IOBuf()
    buf.append_user_data(bytearray(range(256)) * 16, released.append)
    return buf


def test_release_after_the_buffer_was_consumed(lent: IOBuf, released: list[object]) -> None:
    """bRPC: append_user_data_and_consume."""
    out = bytearray(SIZE)
    assert lent.copy_to(out) == SIZE
    lent.pop_front(SIZE - 1)
    assert released == []
    lent.pop_front(1)
    assert released == [out]


def test_on_release_gets_the_same_object(released: list[object]) -> None:
    mine = bytearray(b"mine")
    buf = IOBuf()
    buf.append_user_data(mine, released.append)
    del buf
    assert released[0] is mine
    assert len(released) == 1


def test_user_data_is_not_copied(released: list[object]) -> None:
    mine = bytearray(b"mine")
    buf = IOBuf()
    buf.append_user_data(mine, released.append)
    mine[0] = ord("f")
    assert buf == b"fine"
    view = next(iter(buf))
    assert view.readonly
    assert view.format == "B"


def test_lent_buffer_can_not_be_resized(released: list[object]) -> None:
    mine = bytearray(b"mine")
    buf = IOBuf()
    buf.append_user_data(mine, released.append)
    with pytest.raises(BufferError):
        mine.clear()
    buf.clear()
    mine.clear()
    assert released == [bytearray()]


def test_on_release_is_called_once_for_each_buffer(released: list[object]) -> None:
    """bRPC: append_stateful_user_data, append_user_data_with_meta."""
    buf = IOBuf()
    for i in range(256):
        buf.append_user_data(bytes((i,)) * 16, released.append)
    assert buf.block_count == 256
    for i in range(256):
        buf.cutn(8)
        assert len(released) == i
        buf.cutn(8)
        assert released[i] == bytes((i,)) * 16
    assert len(released) == 256


def test_on_release_is_called_when_the_last_share_is_gone(
    lent: IOBuf, released: list[object]
) -> None:
    """bRPC: append_user_data_and_share."""
    shares = [lent.cutn(16) for _ in range(256)]
    assert not lent
    for i, share in enumerate(shares):
        assert share == bytes(range(i % 16 * 16, i % 16 * 16 + 16))
    last = shares.pop()
    shares.clear()
    del share
    assert released == []
    del last
    assert len(released) == 1


def _append_elsewhere(buf: IOBuf) -> object:
    other = IOBuf(b"other")
    other.append(buf)
    return other


@pytest.mark.parametrize(
    "share",
    [
        IOBuf.copy,
        _append_elsewhere,
        lambda buf: buf.cutn(1),
        lambda buf: buf.cut_contiguous(1),
        lambda buf: buf.cut_contiguous(SIZE),
        lambda buf: buf.cut_until(b"\x07"),
        lambda buf: next(iter(buf))[5:6],
    ],
)
def test_views_and_cut_parts_delay_on_release(
    lent: IOBuf, released: list[object], share: Callable[[IOBuf], object]
) -> None:
    taken = share(lent)
    lent.clear()
    assert released == []
    del taken
    assert len(released) == 1


def test_on_release_is_called_at_once_for_an_empty_buffer(released: list[object]) -> None:
    buf = IOBuf()
    buf.append_user_data(b"", released.append)
    assert released == [b""]
    assert buf.block_count == 0


def test_a_read_only_mapping_can_be_lent(released: list[object]) -> None:
    with mmap.mmap(-1, SIZE, prot=mmap.PROT_READ) as mapping:
        buf = IOBuf()
        buf.append_user_data(mapping, released.append)
        assert buf == bytes(SIZE)
        buf.clear()
        assert len(released) == 1


@pytest.mark.parametrize(
    ("wrong", "error"), [("text", TypeError), (memoryview(b"abcd")[::2], BufferError)]
)
def test_append_user_data_refuses_other_objects(
    released: list[object], wrong: object, error: type[Exception]
) -> None:
    buf = IOBuf()
    with pytest.raises(error):
        buf.append_user_data(wrong, released.append)
    assert released == []
    assert not buf


@pytest.mark.parametrize(
    ("parts", "pop", "left"),
    [
        ((b"", b"first", b"second", b"and third"), lambda buf: buf.pop_front(15), b"third"),
        ((b"zeroth", b"first", b"second", b""), lambda buf: buf.pop_back(13), b"zero"),
        ((b"zeroth", b"first", b"second", b"and third"), IOBuf.clear, b""),
    ],
)
def test_on_release_may_use_the_buffer_it_was_lent_to(
    parts: tuple[bytes, bytes, bytes, bytes], pop: Callable[[IOBuf], object], left: bytes
) -> None:
    buf = IOBuf(parts[0])
    seen: list[bytes] = []
    buf.append_user_data(parts[1], lambda _: seen.append(bytes(buf)))
    buf.append_user_data(parts[2], lambda _: seen.append(bytes(buf)))
    buf.append(parts[3])
    pop(buf)
    assert seen == [left, left]
