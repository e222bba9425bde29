from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.server.calls.response_batch import FLUSH_S, LARGE_BYTES, MAX_RESPONSES, ResponseBatch
from tests.fakes.server_calls import FakeServerConnection


class FakeCall:
    def __init__(self, connection: FakeServerConnection) -> None:
        self.connection = connection
        self.ended = 0


def put(response_batch: ResponseBatch, call: FakeCall, data: bytes) -> None:
    response_batch.put(cast(Any, call), IOBuf(data))


def test_responses_for_one_socket_are_written_together() -> None:
    response_batch, socket = ResponseBatch(), FakeServerConnection()
    calls = [FakeCall(socket) for _ in range(3)]
    for index, call in enumerate(calls):
        put(response_batch, call, b"%d" % index)
    response_batch.flush()
    assert socket.written == [b"012"]
    assert [call.ended for call in calls] == [1, 1, 1]
    assert not response_batch


def test_responses_for_several_sockets_keep_their_order() -> None:
    response_batch, one, two = ResponseBatch(), FakeServerConnection(), FakeServerConnection()
    for index, socket in enumerate([one, one, two, one]):
        put(response_batch, FakeCall(socket), b"%d" % index)
    response_batch.flush()
    assert (one.written, two.written) == ([b"01", b"3"], [b"2"])


def test_responses_wait_until_the_oldest_is_due() -> None:
    response_batch, socket = ResponseBatch(), FakeServerConnection()
    response_batch.add(cast(Any, FakeCall(socket)), IOBuf(b"0"), now=5.0)
    response_batch.add(cast(Any, FakeCall(socket)), IOBuf(b"1"), now=5.0 + FLUSH_S / 2)
    response_batch.flush_if_due(now=5.0 + FLUSH_S / 2)
    assert socket.written == []
    response_batch.add(cast(Any, FakeCall(socket)), IOBuf(b"2"), now=5.0 + FLUSH_S * 2)
    assert socket.written == [b"012"]


def test_flush_if_due_writes_old_responses() -> None:
    response_batch, socket = ResponseBatch(), FakeServerConnection()
    response_batch.add(cast(Any, FakeCall(socket)), IOBuf(b"0"), now=5.0)
    response_batch.flush_if_due(now=6.0)
    assert socket.written == [b"0"]


@pytest.mark.parametrize("is_timed", [True, False])
def test_large_response_does_not_wait(is_timed: bool) -> None:
    response_batch, socket = ResponseBatch(), FakeServerConnection()
    put(response_batch, FakeCall(socket), b"small")
    large = IOBuf(bytes(LARGE_BYTES))
    if is_timed:
        response_batch.add(cast(Any, FakeCall(socket)), large, now=0.0)
    else:
        response_batch.put(cast(Any, FakeCall(socket)), large)
    assert socket.written == [b"small" + bytes(LARGE_BYTES)]


@pytest.mark.parametrize("is_timed", [True, False])
def test_full_batch_does_not_wait(is_timed: bool) -> None:
    response_batch, socket = ResponseBatch(), FakeServerConnection()
    for count in range(1, 2 * MAX_RESPONSES):
        if is_timed:
            response_batch.add(cast(Any, FakeCall(socket)), IOBuf(b"."), now=0.0)
        else:
            put(response_batch, FakeCall(socket), b".")
        assert len(socket.written) == count // MAX_RESPONSES
    assert socket.written == [b"." * MAX_RESPONSES]


def test_each_response_is_written_once_when_two_threads_flush() -> None:
    response_batch, socket = ResponseBatch(), FakeServerConnection()
    calls = [FakeCall(socket) for _ in range(2000)]
    is_done = threading.Event()

    def flush_until_done() -> None:
        while not is_done.is_set():
            response_batch.flush()

    flusher = threading.Thread(target=flush_until_done)
    flusher.start()
    for index, call in enumerate(calls):
        put(response_batch, call, b"%d," % index)
        response_batch.flush()
    is_done.set()
    flusher.join()
    written = b"".join(socket.written).split(b",")[:-1]
    assert sorted(map(int, written)) == list(range(2000))
    assert {call.ended for call in calls} == {1}
