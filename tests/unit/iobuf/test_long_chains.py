"""A chain of many short blocks, from whose front some were taken: it behaves as one that never had
them."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator

import pytest

from pybrpc.iobuf import IOBuf, IOPortal, cut_multiple_into_fd

COUNT = 200
TAKEN = 70
"""Less than half of the blocks, so that their places are still in the list."""

CONTENT = b"".join(b"%03d" % number for number in range(COUNT))
LEFT = CONTENT[3 * TAKEN :]


def chain() -> IOBuf:
    """A buffer of `COUNT - TAKEN` blocks."""
    buf = IOBuf()
    for number in range(COUNT):
        buf.append(b"%03d" % number)
    for _ in range(TAKEN):
        buf.cutn(3)
    return buf


def chain_of_a_portal() -> IOBuf:
    portal = IOPortal()
    for number in range(COUNT):
        portal.append(b"%03d" % number)
    portal.pop_front(3 * TAKEN)
    return portal


@pytest.mark.parametrize("make", [chain, chain_of_a_portal])
def test_looking_sees_only_what_is_left(make: Callable[[], IOBuf]) -> None:
    buf = make()
    assert (len(buf), buf.block_count) == (len(LEFT), COUNT - TAKEN)
    assert buf == LEFT
    assert bytes(buf) == b"".join(buf) == LEFT
    assert buf.peek(3) == LEFT[:3]
    assert buf.peek(7, 1) == LEFT[1:8]
    assert buf.peek(None, len(LEFT) - 2) == LEFT[-2:]
    target = bytearray(5)
    assert buf.copy_to(target, offset=4) == 5
    assert target == LEFT[4:9]
    assert repr(buf) == f"<IOBuf of {len(LEFT)} bytes in {COUNT - TAKEN} blocks: {LEFT[:16]!r}...>"


def test_other_buffers_get_only_what_is_left() -> None:
    buf, other = chain(), IOBuf(b"before ")
    other.append(buf)
    assert other == b"before " + LEFT
    assert buf.copy() == LEFT
    buf.swap(other)
    assert (bytes(buf), bytes(other)) == (b"before " + LEFT, LEFT)
    assert other.cutn(len(LEFT)) == LEFT
    assert not other


def test_cutting_goes_on() -> None:
    buf = chain()
    assert buf.cutn(4) == LEFT[:4]
    assert buf.cut_contiguous(2) == LEFT[4:6]
    assert buf.cut_contiguous(3) == LEFT[6:9]
    assert buf.cut_until(LEFT[20:24]) == LEFT[9:20]
    assert buf.pop_front(1) == 1
    assert buf.cut_contiguous(6) == LEFT[25:31]
    assert buf == LEFT[31:]


@pytest.mark.parametrize("dropped", [1, 3, 200, 3 * (COUNT - TAKEN) - 2])
def test_the_back_can_be_dropped(dropped: int) -> None:
    buf = chain()
    assert buf.pop_back(dropped) == dropped
    buf.append(b"end")
    assert buf == LEFT[:-dropped] + b"end"
    while buf:
        buf.pop_back(1)
    assert buf.block_count == 0


def test_what_is_received_is_added_behind() -> None:
    buf = chain()
    buf.append_received(b"!")
    assert (bytes(buf), buf.block_count) == (LEFT + b"!", COUNT - TAKEN)


def test_cleared_buffer_starts_again() -> None:
    buf = chain()
    buf.clear()
    buf.append(b"new")
    assert (bytes(buf), buf.block_count) == (b"new", 1)


def test_only_what_is_left_is_written() -> None:
    reading, writing = os.pipe()
    try:
        alone, together, other = chain(), chain(), IOBuf(b"other")
        assert alone.cut_into_fd(writing) == len(LEFT)
        assert cut_multiple_into_fd(writing, [together, other]) == len(LEFT) + 5
        assert os.read(reading, 10_000) == LEFT + LEFT + b"other"
        assert not alone
        assert not together
    finally:
        os.close(reading)
        os.close(writing)


def test_blocks_are_freed_as_they_are_taken() -> None:
    released: list[bytearray] = []
    buf = IOBuf()
    for number in range(COUNT):
        buf.append_user_data(bytearray(b"%03d" % number), released.append)
    take = itertools.cycle([lambda: buf.cutn(3), lambda: buf.pop_front(3)])
    for number in range(COUNT):
        next(take)()
        assert len(released) == number + 1


def write_to_null(buf: IOBuf) -> None:
    buf.cut_into_fd(NULL, 3)


def append_and_drop(buf: IOBuf) -> None:
    buf.append(b"cd")
    buf.pop_front(4)


def append_more_and_drop(buf: IOBuf) -> None:
    buf.appendv([b"cd", IOBuf(b"ef")])
    buf.pop_front(6)


def shrink(buf: IOBuf) -> None:
    buf.resize(len(buf) - 3)


def shrink_and_grow(buf: IOBuf) -> None:
    buf.resize(len(buf) - 4)
    buf.resize(len(buf) + 1)


NULL = os.open(os.devnull, os.O_WRONLY)
TAKERS: dict[str, Callable[[IOBuf], object]] = {
    "cutn": lambda buf: buf.cutn(4),
    "cut_contiguous": lambda buf: buf.cut_contiguous(4),
    "of one block": lambda buf: buf.cut_contiguous(2),
    "pop_front": lambda buf: buf.pop_front(4),
    "pop_back": lambda buf: buf.pop_back(4),
    "cut_until": lambda buf: buf.cut_until(b"ab"),
    "across blocks": lambda buf: buf.cut_until(b"ba"),
    "peek": lambda buf: (buf.peek(4), buf.pop_front(2)),
    "cut_into_fd": write_to_null,
    "append": append_and_drop,
    "appendv": append_more_and_drop,
    "resize": shrink,
    "resize, both ways": shrink_and_grow,
    "copy_to": lambda buf: (buf.copy_to(bytearray(4)), buf.pop_front(2)),
}


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """A full collection looks at all objects, and takes longer than what is measured."""
    gc.disable()
    yield
    gc.enable()


def seconds_to_take(take: Callable[[IOBuf], object], count: int) -> float:
    buf = IOBuf()
    for _ in range(count):
        buf.append(b"ab")
    began_at = time.thread_time()
    while len(buf) > 4:
        take(buf)
    return time.thread_time() - began_at


@pytest.mark.parametrize("name", TAKERS)
def test_taking_all_of_a_chain_is_linear_in_its_blocks(name: str) -> None:
    # A quadratic one takes 16 times as long for each block.
    few = min(seconds_to_take(TAKERS[name], 4_000) for _ in range(3))
    many = min(seconds_to_take(TAKERS[name], 64_000) for _ in range(2))
    assert many < 16 * 5 * few


WHOLE: dict[str, Callable[[IOBuf], object]] = {
    "copy": lambda buf: buf.copy(),
    "append": lambda buf: IOBuf(b"x").append(buf),
    "appendv": lambda buf: IOBuf().appendv([buf, b"x", buf]),
    "bytes": bytes,
    "resize": lambda buf: buf.resize(1),
    "clear": lambda buf: buf.clear(),
    "cut_into_fd": lambda buf: [buf.cut_into_fd(NULL) for _ in range(len(buf)) if buf],
    "cut_multiple_into_fd": lambda buf: [
        cut_multiple_into_fd(NULL, [buf, buf.copy()]) for _ in range(len(buf)) if buf
    ],
}


def seconds_for_all(use: Callable[[IOBuf], object], count: int) -> float:
    buf = IOBuf()
    buf.appendv([b"ab"] * count)
    began_at = time.thread_time()
    use(buf)
    return time.thread_time() - began_at


@pytest.mark.parametrize("name", WHOLE)
def test_using_a_whole_chain_is_linear_in_its_blocks(name: str) -> None:
    few = min(seconds_for_all(WHOLE[name], 4_000) for _ in range(5))
    many = min(seconds_for_all(WHOLE[name], 64_000) for _ in range(5))
    assert many < 16 * 5 * max(few, 1e-4)
