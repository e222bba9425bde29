"""Guarantee 10 of the write path: failure reaches everybody, with the phase and the peer."""

from __future__ import annotations

import contextlib
import errno
import socket as plain
import struct
import threading
import weakref
from collections.abc import Iterator

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ConnectError, ConnectionFailedError, ErrorCode, ProtocolError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.dispatchers import wait_until_collected
from tests.fakes.sockets import (
    SMALL_BUFFER,
    Interruption,
    MakeStep,
    MakeWire,
    Outcomes,
    User,
    unused_endpoint,
)
from tests.fakes.threads import in_threads

UNREACHABLE = Endpoint("255.255.255.255", 80)
UNRESOLVABLE = Endpoint("no-such-host.invalid", 80)


@pytest.fixture
def silent_endpoint() -> Iterator[Endpoint]:
    """A listener whose queue is full, so that connecting to it neither succeeds nor fails."""
    with plain.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(plain.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Endpoint.from_sockaddr(listener.getsockname())


def fail_to_connect(
    endpoint: Endpoint, dispatcher: EventDispatcher, timeout_s: float | None = 30.0
) -> RpcError:
    """Write to an address that can't be connected to; all writers get the same error, once."""
    user, told = User(), Outcomes()
    near = Socket.to(endpoint, dispatcher, user=user, connect_timeout_s=timeout_s)
    accepted = 0
    with contextlib.suppress(RpcError):
        for _ in range(5):
            near.start_write(IOBuf(b"x"), on_outcome=told, notify_on_success=True)
            accepted += 1
    errors = [*told.take(accepted), user.take_error()]
    assert len({str(error) for error in errors}) == 1
    assert near.is_failed
    with pytest.raises(RpcError) as refused:
        near.start_write(IOBuf(b"too late"), on_outcome=told)
    assert str(refused.value) == str(errors[0])
    assert told.untaken == user.errors.qsize() == 0
    assert near.backlog.size_bytes == 0
    assert errors[0] is not None
    return errors[0]


def test_refused_connect_fails_with_phase_and_peer(dispatcher: EventDispatcher) -> None:
    endpoint = unused_endpoint()
    error = fail_to_connect(endpoint, dispatcher)
    assert isinstance(error, ConnectError)
    assert (error.code, error.phase) == (errno.ECONNREFUSED, "connect")
    assert error.peer == str(endpoint)
    assert error.text == f"Fail to connect {endpoint}: Connection refused"


def test_unreachable_address_fails_with_phase_and_peer(dispatcher: EventDispatcher) -> None:
    error = fail_to_connect(UNREACHABLE, dispatcher)
    assert isinstance(error, ConnectError)
    assert (error.phase, error.peer) == ("connect", str(UNREACHABLE))
    assert error.code in (errno.ENETUNREACH, errno.EACCES, errno.EHOSTUNREACH)


@pytest.mark.parametrize(
    "host", ["no-such-host.invalid", "x" * 70 + ".invalid", "zero\0byte", "fe80::1%nosuchif"]
)
def test_unresolvable_name_fails_with_its_phase(dispatcher: EventDispatcher, host: str) -> None:
    error = fail_to_connect(Endpoint(host, 80), dispatcher)
    assert isinstance(error, ConnectError)
    assert error.phase == "resolve"
    assert error.peer == str(Endpoint(host, 80))


def test_connect_that_times_out_fails_with_phase_and_peer(
    dispatcher: EventDispatcher, silent_endpoint: Endpoint
) -> None:
    error = fail_to_connect(silent_endpoint, dispatcher, timeout_s=0.05)
    assert isinstance(error, ConnectError)
    assert (error.code, error.phase) == (errno.ETIMEDOUT, "connect")
    assert error.peer == str(silent_endpoint)


@pytest.mark.parametrize("by", ["close", "fail"])
def test_close_while_it_connects_reaches_every_request(
    dispatcher: EventDispatcher, silent_endpoint: Endpoint, by: str
) -> None:
    user, told = User(), Outcomes()
    near = Socket.to(silent_endpoint, dispatcher, user=user, connect_timeout_s=None)
    for _ in range(3):
        near.start_write(IOBuf(b"x"), on_outcome=told)
    if by == "close":
        near.close()
    else:
        near.fail(ConnectionFailedError("the test says so"))
    code = user.take_error().code
    assert code == (ErrorCode.ECLOSE if by == "close" else ErrorCode.EFAILEDSOCKET)
    assert [(e and e.code, e and e.phase) for e in told.take(3)] == [(code, "queued")] * 3


@pytest.mark.parametrize("round_", range(10))
def test_close_by_another_thread_at_the_first_write_reaches_the_request(
    dispatcher: EventDispatcher, silent_endpoint: Endpoint, round_: int
) -> None:
    near = Socket.to(silent_endpoint, dispatcher, connect_timeout_s=None)
    told = Outcomes()

    def run(index: int) -> None:
        if index:
            near.close()
        else:
            with contextlib.suppress(RpcError):
                near.start_write(IOBuf(b"x"), on_outcome=told)
                told.take()

    in_threads(2, run)


@pytest.mark.python_only
def test_close_between_the_first_write_and_its_connector_reaches_the_request(
    step: StepDispatcher, silent_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatcher closes the socket before the producer has made the connector."""
    near = Socket.to(silent_endpoint, step, connect_timeout_s=None)
    told = Outcomes()
    real = Socket.start_connecting

    def close_then_connect(self: Socket) -> None:
        near.close()
        step.run_until_idle()
        real(self)

    monkeypatch.setattr(Socket, "start_connecting", close_then_connect)
    near.start_write(IOBuf(b"x"), on_outcome=told)
    step.run_until_idle()
    assert told.untaken == 1
    assert not step.is_watching


def test_close_at_every_bytecode_of_the_first_write_reaches_the_request(
    make_step: MakeStep, silent_endpoint: Endpoint
) -> None:
    """By another thread, whose dispatcher runs at once."""
    moment, happened = 0, True
    while happened:
        moment += 1
        step, told, user = make_step(), Outcomes(), User()
        near = Socket.to(silent_endpoint, step, user=user, connect_timeout_s=None)

        def close(near: Socket = near, step: StepDispatcher = step) -> None:
            near.close()
            step.run_until_idle()

        interruption, accepted = Interruption(moment, close), 0
        with interruption:
            with contextlib.suppress(RpcError):
                near.start_write(IOBuf(b"x"), on_outcome=told)
                accepted = 1
        happened = interruption.happened
        near.close()
        step.run_until_idle()
        assert (told.untaken, user.errors.qsize()) == (accepted, 1), f"at bytecode {moment}"
        assert (near.backlog.requests, step.is_watching) == (0, False)
    assert moment > 100


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_loss_of_the_peer_reaches_every_queued_request(
    dispatcher: EventDispatcher, make_wire: MakeWire, kind: str, how: str
) -> None:
    user, told = User(), Outcomes()
    wire = make_wire(dispatcher, kind=kind, buffer_bytes=SMALL_BUFFER, user=user)
    for _ in range(3):
        wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    assert wire.receive(1) == b"\0"
    if how == "reset" and kind == "tcp":
        wire.peer.setsockopt(plain.SOL_SOCKET, plain.SO_LINGER, struct.pack("ii", 1, 0))
    wire.peer.close()
    error = user.take_error()
    assert isinstance(error, ConnectionFailedError)
    assert error.code in (ErrorCode.EEOF, errno.EPIPE, errno.ECONNRESET)
    assert error.peer == str(wire.socket.remote_side)
    told_errors = told.take(3)
    assert [e and e.phase for e in told_errors] == ["sent", "queued", "queued"]
    assert {e and e.code for e in told_errors} == {error.code}
    assert {e and e.peer for e in told_errors} == {error.peer}


def test_end_of_stream_is_reported_as_remote(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(dispatcher, user=user)
    wire.peer.close()
    error = user.take_error()
    assert (error.code, error.is_remote, error.phase) == (ErrorCode.EEOF, True, "waiting")
    assert error.text.startswith("Got EOF of unix")


def test_garbage_fails_the_connection(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    user, told = User(), Outcomes()
    wire = make_wire(dispatcher, user=user, buffer_bytes=SMALL_BUFFER)
    wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    wire.peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    error = user.take_error()
    assert isinstance(error, ProtocolError)
    assert error.is_remote
    assert "GET / HTTP" in error.text
    assert told.take_error().code == error.code
    assert user.messages.qsize() == 0


def test_user_gets_one_failure_from_threads_that_all_fail_it(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(dispatcher, user=user)
    won: list[bool] = []
    in_threads(8, lambda index: won.append(wire.socket.fail(ConnectionFailedError(str(index)))))
    assert sorted(won) == [False] * 7 + [True]
    assert user.take_error().text == (wire.socket.error and wire.socket.error.text)
    assert user.errors.qsize() == 0
    assert Socket.address(wire.socket.id) is None


def test_failed_socket_keeps_nothing_alive(epoll: EventDispatcher, make_wire: MakeWire) -> None:
    class Marker:
        pass

    marker = Marker()
    gone = threading.Event()
    weakref.finalize(marker, gone.set)
    wire = make_wire(epoll, user=User(), buffer_bytes=SMALL_BUFFER)
    for _ in range(3):
        wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=lambda error, marker=marker: None)
    wire.socket.close()
    del marker
    wire.receive_all()
    wait_until_collected(epoll, gone)
