"""Random operations on IOBufs, compared with plain bytearrays."""

from __future__ import annotations

from unittest import mock

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pybrpc.iobuf import IOBuf, cut_multiple_into_fd, gather

SMALL = st.binary(max_size=12)
LARGE = st.integers(4000, 9000).map(lambda n: bytes(i * 7 % 256 for i in range(n)))
DATA = SMALL | LARGE
COUNT = st.integers(0, 30) | st.integers(0, 20_000)
INDEX = st.integers(0, 2)


class IOBufAgainstBytearray(RuleBasedStateMachine):
    """Three buffers that share blocks, each with its model."""

    @initialize()
    def start(self) -> None:
        self.bufs = [IOBuf() for _ in range(3)]
        self.models = [bytearray() for _ in range(3)]
        self.lent = 0
        self.released: list[object] = []

    @rule(i=INDEX, data=DATA, kind=st.sampled_from([bytes, bytearray, memoryview]))
    def append(self, i: int, data: bytes, kind: type[bytes | bytearray | memoryview]) -> None:
        self.bufs[i].append(kind(data))
        self.models[i] += data

    @rule(i=INDEX, size=st.integers(1, 3), count=st.integers(1, 200))
    @precondition(lambda self: sum(map(len, self.models)) < 200_000)
    def append_small_blocks(self, i: int, size: int, count: int) -> None:
        for number in range(count):
            self.bufs[i].append(bytes([number]) * size)
            self.models[i] += bytes([number]) * size

    @rule(i=INDEX, data=DATA)
    def append_user_data(self, i: int, data: bytes) -> None:
        self.bufs[i].append_user_data(data, self.released.append)
        self.models[i] += data
        self.lent += 1

    @rule(i=INDEX, j=INDEX)
    @precondition(lambda self: sum(map(len, self.models)) < 200_000)
    def append_iobuf(self, i: int, j: int) -> None:
        self.bufs[i].append(self.bufs[j])
        self.models[i] += bytes(self.models[j])

    @rule(i=INDEX, j=INDEX, n=COUNT)
    def cutn(self, i: int, j: int, n: int) -> None:
        self.bufs[j].append(self.bufs[i].cutn(n))
        self.models[j] += self.take(i, n)

    @rule(i=INDEX, n=COUNT)
    def cut_contiguous(self, i: int, n: int) -> None:
        assert self.bufs[i].cut_contiguous(n) == self.take(i, n)

    @rule(i=INDEX, n=COUNT)
    def pop_front(self, i: int, n: int) -> None:
        assert self.bufs[i].pop_front(n) == len(self.take(i, n))

    @rule(i=INDEX, n=COUNT)
    def pop_back(self, i: int, n: int) -> None:
        model = self.models[i]
        n = min(n, len(model))
        assert self.bufs[i].pop_back(n) == n
        del model[len(model) - n :]

    @rule(i=INDEX, delimiter=st.binary(min_size=1, max_size=3) | st.sampled_from([b"\0", b"\0\7"]))
    def cut_until(self, i: int, delimiter: bytes) -> None:
        index = self.models[i].find(delimiter)
        found = self.bufs[i].cut_until(delimiter)
        assert (found is None) == (index < 0)
        if found is not None:
            assert found == self.take(i, index)
            self.take(i, len(delimiter))

    @rule(i=INDEX, n=COUNT | st.none(), offset=COUNT)
    def look(self, i: int, n: int | None, offset: int) -> None:
        model = self.models[i]
        expected = bytes(model[offset : len(model) if n is None else offset + n])
        assert self.bufs[i].peek(n, offset) == expected
        target = bytearray(len(model))
        assert self.bufs[i].copy_to(target, n, offset) == len(expected)
        assert target[: len(expected)] == expected

    @rule(i=INDEX, n=COUNT, fill=st.integers(0, 255))
    def resize(self, i: int, n: int, fill: int) -> None:
        self.bufs[i].resize(n, fill)
        del self.models[i][n:]
        self.models[i] += bytes((fill,)) * (n - len(self.models[i]))

    @rule(i=INDEX, j=INDEX)
    def swap(self, i: int, j: int) -> None:
        self.bufs[i].swap(self.bufs[j])
        self.models[i], self.models[j] = self.models[j], self.models[i]

    @rule(i=INDEX, j=INDEX)
    def copy(self, i: int, j: int) -> None:
        self.bufs[i] = self.bufs[j].copy()
        self.models[i] = self.models[j][:]

    @rule(part=st.floats(0, 1))
    def write_all_of_them(self, part: float) -> None:
        offered: list[bytes | memoryview] = []

        def take(fd: int, blocks: list[bytes | memoryview], size_bytes: int) -> int:
            offered.extend(blocks)
            return int(size_bytes * part)

        with mock.patch.object(gather, "write_blocks", take):
            written = cut_multiple_into_fd(-1, self.bufs)
        everything = b"".join(self.models)
        assert everything.startswith(b"".join(offered))
        for i in range(3):
            written -= len(self.take(i, written))

    @rule()
    def clear_all_and_get_back_what_was_lent(self) -> None:
        for i in range(3):
            self.bufs[i].clear()
            self.models[i].clear()
        assert len(self.released) == self.lent

    @invariant()
    def contents_are_equal(self) -> None:
        for buf, model in zip(self.bufs, self.models, strict=True):
            assert len(buf) == len(model)
            assert buf == model
            assert b"".join(buf) == model
            assert all(len(view) for view in buf)
            assert bool(buf) == bool(model)
            assert len(list(buf)) == buf.block_count

    def take(self, i: int, n: int) -> bytes:
        taken = bytes(self.models[i][:n])
        del self.models[i][:n]
        return taken


IOBufAgainstBytearray.TestCase.settings = settings(stateful_step_count=40)
TestIOBufAgainstBytearray = IOBufAgainstBytearray.TestCase
