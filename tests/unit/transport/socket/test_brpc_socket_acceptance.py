"""bRPC's own tests of its Socket (test/brpc_socket_unittest.cpp), one here for each of theirs.

Theirs wait on a bthread_id where ours have an outcome callback; a write that is refused at once
raises here, and is reported through the id there. A socket is never revived here.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket as plain
import struct
import threading
import time
import weakref
from collections import Counter

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ConnectError, ErrorCode, OvercrowdedError, RpcError, WriteShutdownError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.listening.acceptor import Acceptor
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.sockets import (
    SMALL_BUFFER,
    MakeWire,
    Outcomes,
    User,
    UserMessage,
    Wire,
    unused_endpoint,
)
from tests.fakes.threads import WAIT_S, in_threads


def test_not_recycle_until_zero_nref(step: StepDispatcher) -> None:
    """Their reference count is Python's: a failed socket lives while somebody holds it, is not
    addressed any more, and goes with the last reference.
    """
    near, far = plain.socketpair()
    with far:
        socket = Socket.of(near, step)
        socket_id, seen = socket.id, weakref.ref(socket)
        assert Socket.address(socket_id) is socket
        socket.close()
        step.run_until_idle()
        assert seen() is socket
        assert Socket.address(socket_id) is None
        del socket
        gc.collect()
        assert seen() is None
        assert Socket.address(socket_id) is None


def test_id_is_never_given_again(step: StepDispatcher) -> None:
    ids = set()
    for _ in range(100):
        near, far = plain.socketpair()
        socket = Socket.of(near, step)
        ids.add(socket.id)
        socket.close()
        step.run_until_idle()
        far.close()
    assert len(ids) == 100


def test_single_threaded_write(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    """All as in theirs; they run `on_reset` of the id where we call the outcome."""
    wire = make_wire(dispatcher)
    for number in range(20):
        expected = b"hello world! %d" % number
        match number % 4:
            case 0:
                wire.socket.start_write(UserMessage(expected))
            case 1:
                told = Outcomes()
                bad = UserMessage(OSError(errno.EINVAL, "Invalid input"))
                wire.socket.start_write(bad, on_outcome=told)
                error = told.take_error()
                assert error.code == errno.EINVAL
                assert "Invalid input" in error.text
                continue
            case 2:
                expected = write_batch_with_empty_messages(wire, number)
            case 3:
                data = IOBuf(expected)
                wire.socket.start_write(data)
                assert not data
        assert wire.receive(len(expected)) == expected
    assert not wire.socket.is_failed


def write_batch_with_empty_messages(wire: Wire, number: int) -> bytes:
    """Every other message is empty; they are turned into bytes in the order of writing."""
    log: list[object] = []
    messages = [
        UserMessage(b"hello world! %d.%d" % (number, j) if j % 2 else b"", log) for j in range(5)
    ]
    for message in messages:
        wire.socket.start_write(message)
    over = Outcomes()
    wire.socket.start_write(IOBuf(), on_outcome=over, notify_on_success=True)
    assert over.take() == [None]
    assert log == messages
    return b"".join(message.content for message in messages if isinstance(message.content, bytes))


def test_single_threaded_connect_and_write(dispatcher: EventDispatcher) -> None:
    """Without the application handshake. Their echo server is one of plain sockets here, and it
    answers in frames of baidu_std, so that our reader cuts them.
    """
    accepted: list[plain.socket] = []
    got_one = threading.Event()
    acceptor = Acceptor(
        Endpoint("127.0.0.1", 0),
        dispatcher,
        lambda sock: (sock.setblocking(True), accepted.append(sock), got_one.set()),
        default_runtime(),
    )
    acceptor.start()
    user = User()
    near = Socket.to(acceptor.endpoint, dispatcher, user=user)
    assert (near.fd, near.local_side, near.is_connected) == (-1, None, False)
    for number in range(20):
        frame = bytes(BAIDU_STD.pack_request(RpcRequest(number, "service", "method", b"hello")))
        near.start_write(UserMessage(frame) if number % 2 else IOBuf(frame))
        assert got_one.wait(WAIT_S)
        echo = accepted[0].recv(len(frame), plain.MSG_WAITALL)
        accepted[0].sendall(echo)
        message = user.messages.get(timeout=WAIT_S)
        assert isinstance(message, RpcRequest)
        assert (message.correlation_id, bytes(message.body)) == (number, b"hello")
    assert near.fd >= 0
    assert near.local_side == Endpoint.from_sockaddr(accepted[0].getpeername())
    acceptor.close()
    near.close()
    assert user.take_error().code == ErrorCode.ECLOSE
    again = Socket.to(acceptor.endpoint, dispatcher, options=near.options)
    assert (again.fd, again.local_side) == (-1, None)
    accepted[0].close()


def test_fail_to_connect(dispatcher: EventDispatcher) -> None:
    user = User()
    near = Socket.to(unused_endpoint(), dispatcher, user=user)
    told = Outcomes()
    accepted: list[int] = []

    def write(index: int) -> None:
        for number in range(10):
            with contextlib.suppress(ConnectError):
                near.start_write(IOBuf(b"%d" % number), on_outcome=told, notify_on_success=True)
                accepted.append(index)

    in_threads(8, write)
    errors = told.take(len(accepted))
    assert {error and error.code for error in errors} == {errno.ECONNREFUSED}
    user.take_error()
    assert not near.fail(errors[0])  # type: ignore[arg-type]
    assert near.fd == -1
    assert Socket.address(near.id) is None
    assert told.untaken == 0


def test_not_health_check_when_nref_hits_0(dispatcher: EventDispatcher) -> None:
    """There is no health check of a socket here; what remains is that the waiter is notified, that
    the data is consumed, and that the socket goes with its last reference.
    """
    endpoint = unused_endpoint()
    near = Socket.to(endpoint, dispatcher)
    seen, told, data = weakref.ref(near), Outcomes(), IOBuf(b"data")
    near.start_write(data, on_outcome=told)
    assert not data
    error = told.take_error()
    assert error.code == errno.ECONNREFUSED
    assert error.text.startswith(f"Fail to connect {endpoint}")
    socket_id = near.id
    del near
    ran = threading.Event()
    dispatcher.post(lambda: dispatcher.post(ran.set))
    assert ran.wait(WAIT_S)
    gc.collect()
    assert seen() is None
    assert Socket.address(socket_id) is None


NUMBERED = struct.Struct("!QQ")


@pytest.mark.parametrize("is_reader_late", [False, True])
def test_multi_threaded_write(
    epoll: EventDispatcher, make_wire: MakeWire, is_reader_late: bool
) -> None:
    """As theirs, but with 2,000 messages from each of 8 threads (20,000 in tests/stress), and the
    order of each thread is looked at too. Where their reader is 100 ms late, ours begins once
    writes were refused; their writers sleep, ours wait for room.
    """
    each, writers = 2000, 8
    options = SocketOptions(high_water_bytes=100_000) if is_reader_late else None
    wire = make_wire(epoll, options=options, buffer_bytes=SMALL_BUFFER if is_reader_late else None)
    is_overcrowded = threading.Event()
    received: list[bytes] = []

    def run(index: int) -> None:
        if index == writers:
            assert not is_reader_late or is_overcrowded.wait(WAIT_S)
            received.append(wire.receive(writers * each * NUMBERED.size))
            return
        for number in range(each):
            write_when_there_is_room(wire.socket, NUMBERED.pack(index, number), is_overcrowded)

    in_threads(writers + 1, run)
    order: dict[int, list[int]] = {}
    for index, number in NUMBERED.iter_unpack(received[0]):
        order.setdefault(index, []).append(number)
    assert order == {index: list(range(each)) for index in range(writers)}
    assert (wire.socket.statistics().refused_overcrowded > 0) == is_reader_late


def write_when_there_is_room(socket: Socket, data: bytes, is_overcrowded: threading.Event) -> None:
    while True:
        try:
            socket.start_write(IOBuf(data))
            return
        except OvercrowdedError:
            is_overcrowded.set()
            socket.wait_writable(time.monotonic() + WAIT_S)


def test_notify_on_success(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(dispatcher)
    rounds, told = 10_000, Outcomes()

    def run(index: int) -> None:
        if index:
            wire.receive(16 * rounds)
            return
        for _ in range(rounds):
            wire.socket.start_write(
                IOBuf(b"hello reader sid"), on_outcome=told, notify_on_success=True
            )

    in_threads(2, run)
    assert told.take(rounds) == [None] * rounds
    wire.socket.close()
    assert told.untaken == 0


def test_only_failure_is_reported_without_notify_on_success(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire, told = make_wire(step), Outcomes()
    wire.socket.start_write(IOBuf(b"x"), on_outcome=told)
    wire.socket.close()
    step.run_until_idle()
    assert told.untaken == 0


@pytest.mark.parametrize("rounds", [25])
def test_shutdown_write(dispatcher: EventDispatcher, make_wire: MakeWire, rounds: int) -> None:
    """Theirs tells each of 300 writes through its id; here those that come after the shutdown is
    known raise, and the sum is the same. Fewer rounds, but with each kind of dispatcher.
    """
    for _ in range(rounds):
        wire, told = make_wire(dispatcher), Outcomes()
        refused: list[int] = []

        def write(
            index: int, wire: Wire = wire, told: Outcomes = told, refused: list[int] = refused
        ) -> None:
            for _ in range(100):
                try:
                    wire.socket.start_write(
                        IOBuf(b"a"), on_outcome=told, notify_on_success=True, shutdown_write=True
                    )
                except WriteShutdownError:
                    refused.append(ErrorCode.ESHUTDOWNWRITE)

        in_threads(3, write)
        codes = [error and error.code for error in told.take(300 - len(refused))] + refused
        assert Counter(codes) == {None: 1, ErrorCode.ESHUTDOWNWRITE: 299}
        assert wire.receive_all() == b"a"
        assert told.untaken == 0
        assert not wire.socket.is_failed
        with pytest.raises(RpcError):
            wire.socket.start_write(IOBuf(b"a"))
        wire.close()


def test_descriptor_is_closed_with_the_socket(step: StepDispatcher) -> None:
    near, far = plain.socketpair()
    with far:
        socket = Socket.of(near, step)
        fd = socket.fd
        socket.close()
        step.run_until_idle()
        assert socket.fd == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
