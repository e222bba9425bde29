"""A fork in the middle: the child leaves the connections to the parent and makes its own."""

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
from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from tests.fakes.sockets import SMALL_BUFFER, MakeWire, Outcomes, User, fill
from tests.fakes.threads import WAIT_S, in_threads


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
