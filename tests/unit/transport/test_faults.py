"""Bad input and faults, as a Socket meets them."""

from __future__ import annotations

import contextlib
import os
import socket as plain
import threading
import time
import warnings
from collections.abc import Callable

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, OvercrowdedError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.event_dispatcher import EventDispatcher
from pybrpc.transport.message_cutter import MessageCutter
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket import LINGER_S, Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.unit.transport.conftest import MakeStep, MakeWire
from tests.unit.transport.tools import (
    CROWDED_AT_1000,
    SMALL_BUFFER,
    WAIT_S,
    Outcomes,
    User,
    fill,
    in_threads,
    make_pair,
    unused_endpoint,
)

FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(7, "EchoService", "Echo", b"0123456789")))


@pytest.mark.parametrize("size", range(len(FRAME) + 1))
def test_peer_closes_at_any_byte_of_a_frame(
    step: StepDispatcher, make_wire: MakeWire, size: int
) -> None:
    user, told = User(), Outcomes()
    wire = make_wire(step, user=user, buffer_bytes=SMALL_BUFFER)
    wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    wire.peer.sendall(FRAME[:size])
    step.run_until_idle()
    wire.peer.close()
    step.run_until_idle()
    assert user.messages.qsize() == (size == len(FRAME))
    assert user.errors.qsize() == told.untaken == 1


@pytest.mark.parametrize("size", range(0, len(FRAME), 5))
def test_this_side_closes_at_any_byte_of_a_frame(
    step: StepDispatcher, make_wire: MakeWire, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer gets a cut frame and the end; the request is told as sent if any of it was."""

    def write_some(fd: int, bufs: list[IOBuf]) -> int:
        return bufs[0].pop_front(os.write(fd, bufs[0].peek(size)))

    monkeypatch.setattr("pybrpc.transport.writer.cut_multiple_into_fd", write_some)
    wire, told = make_wire(step), Outcomes()
    wire.socket.start_write(IOBuf(FRAME), on_outcome=told)
    wire.socket.close()
    step.run_until_idle()
    assert wire.receive_all() == FRAME[:size]
    assert told.take_error().phase == ("sent" if size else "queued")


@pytest.mark.parametrize("cut", range(1, len(FRAME)))
def test_a_frame_in_two_parts_is_one_message(
    step: StepDispatcher, make_wire: MakeWire, cut: int
) -> None:
    user = User()
    wire = make_wire(step, user=user)
    wire.peer.sendall(FRAME + FRAME[:cut])
    step.run_until_idle()
    assert user.messages.qsize() == 1
    wire.peer.sendall(FRAME[cut:])
    step.run_until_idle()
    assert user.messages.qsize() == 2
    assert wire.socket.statistics().messages_read == 2


def test_messages_before_garbage_are_handed_over(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, user=user)
    wire.peer.sendall(FRAME + FRAME + b"garbage that is no frame")
    step.run_until_idle()
    assert user.messages.qsize() == 2
    assert "garbage" in user.take_error().text
    assert wire.receive_all() == b""


def test_a_declared_size_over_the_limit_is_not_buffered(step: StepDispatcher) -> None:
    near, far = make_pair()
    user = User()
    socket = Socket.of(near, step, user=user, cutter=MessageCutter(ParseLimits(max_body_size=100)))
    far.sendall(b"PRPC" + (1 << 30).to_bytes(4, "big") + (1 << 29).to_bytes(4, "big"))
    step.run_until_idle()
    assert user.take_error().code == ErrorCode.EINVAL
    assert socket.statistics().bytes_read == 12
    far.close()


def test_a_peer_that_never_reads_costs_bounded_memory_and_disturbs_nobody(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    options = SocketOptions(high_water_bytes=1 << 20)
    deaf = make_wire(dispatcher, options=options, buffer_bytes=SMALL_BUFFER)
    other = make_wire(dispatcher, options=options)
    with pytest.raises(OvercrowdedError):
        for _ in range(100_000):
            deaf.socket.start_write(IOBuf(bytes(10_000)))
    assert deaf.socket.statistics().backlog_bytes < (1 << 20) + 20_000
    for number in range(100):
        told = Outcomes()
        data = b"%04d" % number
        other.socket.start_write(IOBuf(data), on_outcome=told, notify_on_success=True)
        assert other.receive(4) == data
        assert told.take() == [None]


def test_reading_pauses_while_the_peer_does_not_read(step: StepDispatcher) -> None:
    near, far = make_pair(buffer_bytes=SMALL_BUFFER)
    user = User()
    socket = Socket.of(
        near, step, user=user, options=CROWDED_AT_1000, pauses_reads_when_crowded=True
    )
    socket.start_write(IOBuf(bytes(1 << 16)))
    far.sendall(FRAME)
    step.run_until_idle()
    far.sendall(FRAME)
    step.run_until_idle()
    assert user.messages.qsize() == 1
    far.setblocking(False)
    while socket.backlog.size_bytes:
        with contextlib.suppress(BlockingIOError):
            far.recv(1 << 16)
        step.run_until_idle()
    assert user.messages.qsize() == 2
    far.close()
    step.run_until_idle()
    assert user.errors.qsize() == 1


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_thousand_sockets_opened_and_dropped_leave_nothing(
    dispatcher: EventDispatcher, make_wire: MakeWire, kind: str
) -> None:
    """The fixture that counts threads and descriptors judges."""
    threads = threading.active_count()
    for number in range(1000):
        wire = make_wire(dispatcher, kind=kind, user=User())
        wire.socket.start_write(IOBuf(b"x"))
        if number % 3 == 0:
            wire.peer.close()
        if number % 3 == 1:
            wire.socket.close()
        if number % 100 == 0:
            assert threading.active_count() <= threads + 1
        wire.close()


def test_a_thousand_refused_connections_leave_nothing(dispatcher: EventDispatcher) -> None:
    endpoint, told = unused_endpoint(), Outcomes()
    for _ in range(1000):
        Socket.to(endpoint, dispatcher).start_write(IOBuf(b"x"), on_outcome=told)
    assert {error and error.name for error in told.take(1000)} == {"ECONNREFUSED"}


@pytest.mark.parametrize("ends_by", ["the peer", "the deadline"])
def test_close_after_write_delivers_the_last_message(
    make_step: MakeStep, make_wire: MakeWire, ends_by: str
) -> None:
    """Also while the peer is still sending: closing with unread data would reset the stream."""
    step, user = make_step(), User()
    wire = make_wire(step, kind="tcp", user=user)
    wire.peer.sendall(FRAME * 10)
    wire.socket.close_after_write(IOBuf(b"good-bye"))
    wire.peer.sendall(FRAME * 10)
    step.run_until_idle()
    assert wire.receive_all() == b"good-bye"
    assert user.messages.qsize() == 0
    if ends_by == "the peer":
        wire.peer.close()
        step.run_until_idle()
    else:
        step.advance(LINGER_S)
    assert user.take_error().code == (
        ErrorCode.EEOF if ends_by == "the peer" else ErrorCode.ECLOSE
    )
    step.advance(LINGER_S)


def test_an_exception_of_the_user_does_not_stop_the_dispatcher(
    epoll: EventDispatcher, make_wire: MakeWire
) -> None:
    class RaisingUser(User):
        def on_messages(self, socket: Socket, messages: list[object]) -> None:  # type: ignore[override]
            raise ValueError("a defect of the user")

    wire = make_wire(epoll, user=RaisingUser())
    other_user = User()
    other = make_wire(epoll, user=other_user)
    wire.peer.sendall(FRAME)
    other.peer.sendall(FRAME)
    assert other_user.messages.get(timeout=WAIT_S)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_exit_in_a_callback_does_not_stop_the_dispatcher(
    epoll: EventDispatcher, error: type[BaseException]
) -> None:
    """sys.exit() in a callback would else silently stop every connection of the process."""

    def leave() -> None:
        raise error

    epoll.post(leave)
    ran = threading.Event()
    epoll.post(ran.set)
    assert ran.wait(WAIT_S)


# --- fork ---


def in_fork(run: Callable[[], object]) -> str:
    """Run a function in a forked child; what it returned or raised, as text."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            result = repr(run())
        except BaseException as error:
            result = f"raised {error!r}"
        os.write(writer, result.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    return answer.decode()


@pytest.mark.parametrize("state", ["idle", "parked", "failed"])
def test_fork_leaves_the_connection_to_the_parent(state: str, make_wire: MakeWire) -> None:
    runtime = default_runtime()
    wire = make_wire(runtime.dispatcher, user=User(), buffer_bytes=SMALL_BUFFER)
    told = Outcomes()
    size = 1 << 18 if state == "parked" else 1
    wire.socket.start_write(IOBuf(bytes(size)), on_outcome=told, notify_on_success=True)
    if state == "failed":
        told.take()
        wire.socket.close()

    def child() -> object:
        found = Socket.address(wire.socket.id)
        refused = False
        try:
            wire.socket.start_write(IOBuf(b"from the child"))
        except RpcError:
            refused = True
        wire.socket.close()
        return found, refused, wire.socket.fd, default_runtime() is runtime

    answer = in_fork(child)
    if state != "failed":
        assert answer == "(None, True, -1, False)"
        assert wire.receive(size) == bytes(size)
        assert told.take() == [None]
        wire.socket.start_write(IOBuf(b"still here"))
        assert wire.receive(10) == b"still here"
    else:
        assert answer.startswith("(None, True, ")
    assert default_runtime() is runtime


def test_fork_while_connecting_leaves_no_descriptor_in_the_child() -> None:
    with plain.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [stack.enter_context(plain.socket()) for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        near = Socket.to(
            Endpoint.from_sockaddr(listener.getsockname()),
            default_runtime().dispatcher,
            connect_timeout_s=None,
        )
        before = sockets_open()
        near.start_write(IOBuf(b"x"))
        until_dispatcher_has_run(near)
        assert sockets_open() == before + 1
        assert in_fork(sockets_open) == str(before)
        near.close()


def until_dispatcher_has_run(socket: Socket) -> None:
    for _ in range(3):
        ran = threading.Event()
        socket.dispatcher.post(ran.set)
        assert ran.wait(WAIT_S)


def sockets_open() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def test_fork_gives_the_child_a_runtime_that_works() -> None:
    assert default_runtime().dispatcher is not None
    dispatcher = default_runtime().dispatcher
    ran = threading.Event()
    dispatcher.post(ran.set)
    assert ran.wait(WAIT_S)

    def child() -> object:
        near, far = plain.socketpair()
        far.settimeout(WAIT_S)
        socket = Socket.of(near, default_runtime().dispatcher, user=User())
        told = Outcomes()
        for _ in range(3):
            socket.start_write(IOBuf(b"x" * 100_000), on_outcome=told, notify_on_success=True)
        received = 0
        while received < 300_000:
            received += len(far.recv(1 << 16))
        return told.take(3), received

    assert in_fork(child) == "([None, None, None], 300000)"


def test_fork_while_other_threads_write(make_wire: MakeWire) -> None:
    """In the child the thread that holds the write right does not exist."""
    wire = make_wire(default_runtime().dispatcher, user=User(), buffer_bytes=SMALL_BUFFER)
    over = threading.Event()
    each = 2000
    answers: list[str] = []

    def child() -> object:
        wire.socket.close()
        return default_runtime().dispatcher is not wire.socket.dispatcher

    def run(index: int) -> None:
        if index == 0:
            answers.extend(in_fork(child) for _ in range(5))
            over.set()
        elif index == 1:
            assert len(wire.receive(2 * each * 10)) == 2 * each * 10
        else:
            for _ in range(each):
                wire.socket.start_write(IOBuf(bytes(10)))
                if not over.is_set():
                    wire.socket.wait_writable(time.monotonic() + WAIT_S)

    in_threads(4, run)
    assert answers == ["True"] * 5
    assert fill(wire.socket) > 0
