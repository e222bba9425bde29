"""The variables of all connections: a peer that does not read, batches, large blocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.iobuf.block_pool import POOL
from pybrpc.metrics import list_exposed
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket.socket_variables import expose_socket_variables
from pybrpc.transport.writing.writer import writes_handed_over
from tests.fakes.metrics import SteppedSampler, number, own_variables
from tests.fakes.sockets import make_pair


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    with own_variables() as sampler:
        expose_socket_variables()
        yield sampler


def test_socket_whose_peer_does_not_read_is_counted(sampler: SteppedSampler) -> None:
    near, far = make_pair(buffer_bytes=4096)
    step = StepDispatcher()
    socket = Socket.of(near, step)
    with far:
        before = number("rpc_waitepollout_count"), writes_handed_over()
        assert number("rpc_socket_count") >= 1
        socket.start_write(IOBuf(b"x" * 1_000_000))
        step.run_until_idle()
        assert socket.waits_for_kernel
        assert number("rpc_waitepollout_count") == before[0] + 1
        assert writes_handed_over() == before[1] + 1
        sampler.pass_seconds()
        assert number("rpc_waitepollout_second") == 1
        assert number("rpc_keepwrite_second") == 1
        socket.close()
        step.run_until_idle()
        assert number("rpc_waitepollout_count") == before[0]


def test_write_that_is_whole_is_handed_over_to_nobody() -> None:
    near, far = make_pair()
    step = StepDispatcher()
    socket = Socket.of(near, step)
    with far:
        before = writes_handed_over()
        socket.start_write(IOBuf(b"short"))
        assert far.recv(5) == b"short"
        assert writes_handed_over() == before
        socket.close()
        step.run_until_idle()


def test_large_blocks_are_counted() -> None:
    before = number("iobuf_block_memory")
    block = POOL.take(5 * 1024 * 1024)
    assert number("iobuf_block_memory") >= max(before, 5 * 1024 * 1024)
    assert number("iobuf_block_count") >= 1
    del block


def test_exposing_twice_changes_nothing() -> None:
    names = list_exposed()
    expose_socket_variables()
    assert list_exposed() == names
