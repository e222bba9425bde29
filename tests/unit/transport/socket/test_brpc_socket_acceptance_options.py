"""bRPC's tests of socket options (test/brpc_socket_unittest.cpp: keepalive to tcp_user_timeout).

Their flags of the process are `Runtime.default_socket_options`, under the options of a socket.
Where theirs are off by default, ours are on.
"""

from __future__ import annotations

import itertools
import socket as plain
import sys
from collections.abc import Iterator

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.sockets import Outcomes

BUFFER_BYTES = 256 * 1024
TCP = plain.IPPROTO_TCP
TIMERS = {
    "keepalive_idle_s": "TCP_KEEPIDLE",
    "keepalive_interval_s": "TCP_KEEPINTVL",
    "keepalive_count": "TCP_KEEPCNT",
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="names of Linux")


@pytest.fixture
def listener() -> Iterator[plain.socket]:
    with plain.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def connected(step: StepDispatcher, listener: plain.socket, options: SocketOptions) -> plain.socket:
    """A copy of the descriptor of a Socket that has connected with these options."""
    options = options.or_else(default_runtime().default_socket_options)
    near = Socket.to(Endpoint.from_sockaddr(listener.getsockname()), step, options=options)
    told = Outcomes()
    near.start_write(IOBuf(b"x"), on_outcome=told, notify_on_success=True)
    while not told.untaken:
        step.run_until_idle()
    copy = plain.socket(fileno=plain.dup(near.fd))
    near.close()
    step.run_until_idle()
    return copy


def keepalive_of(sock: plain.socket) -> dict[str, int]:
    found = {field: sock.getsockopt(TCP, getattr(plain, name)) for field, name in TIMERS.items()}
    return {"keepalive": sock.getsockopt(plain.SOL_SOCKET, plain.SO_KEEPALIVE), **found}


def system_defaults() -> dict[str, int]:
    with plain.socket() as fresh:
        return keepalive_of(fresh)


DEFAULTS = {
    "keepalive": 1,
    "keepalive_idle_s": 30,
    "keepalive_interval_s": 10,
    "keepalive_count": 3,
}


@on_linux
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"keepalive": True},
        {"keepalive": True, "keepalive_idle_s": 10},
        {"keepalive": True, "keepalive_interval_s": 11},
        {"keepalive": True, "keepalive_count": 12},
        {"keepalive_idle_s": 10, "keepalive_interval_s": 11, "keepalive_count": 12},
    ],
    ids=lambda given: "+".join(given) or "none",
)
def test_keepalive(step: StepDispatcher, listener: plain.socket, given: dict[str, int]) -> None:
    with connected(step, listener, SocketOptions(**given)) as sock:
        assert keepalive_of(sock) == {**DEFAULTS, **given}


@on_linux
def test_keepalive_can_be_switched_off(step: StepDispatcher, listener: plain.socket) -> None:
    with connected(step, listener, SocketOptions(keepalive=False, keepalive_idle_s=10)) as sock:
        assert keepalive_of(sock) == system_defaults()
    default_runtime().default_socket_options = SocketOptions(keepalive=False)
    with connected(step, listener, SocketOptions(keepalive_idle_s=10)) as sock:
        assert keepalive_of(sock) == system_defaults()


@on_linux
def test_accepted_connections_have_them_too(step: StepDispatcher, listener: plain.socket) -> None:
    with plain.create_connection(listener.getsockname()):
        near = Socket.of(listener.accept()[0], step)
        with plain.socket(fileno=plain.dup(near.fd)) as copy:
            assert keepalive_of(copy) == DEFAULTS
            assert copy.getsockopt(TCP, plain.TCP_USER_TIMEOUT) == 30_000
        near.close()
        step.run_until_idle()


@on_linux
@pytest.mark.parametrize("of_socket", list(itertools.product([False, True], repeat=3)))
def test_keepalive_input_message(
    step: StepDispatcher, listener: plain.socket, of_socket: tuple[bool, ...]
) -> None:
    """The options of the socket win over those of the process, field by field."""
    of_process = {"keepalive_idle_s": 10, "keepalive_interval_s": 11, "keepalive_count": 12}
    own = {
        field: value + 10
        for (field, value), is_set in zip(of_process.items(), of_socket, strict=True)
        if is_set
    }
    default_runtime().default_socket_options = SocketOptions(**of_process)
    with connected(step, listener, SocketOptions(**own)) as sock:
        assert keepalive_of(sock) == {"keepalive": 1, **of_process, **own}


def test_socket_buffer_options_before_connect(step: StepDispatcher, listener: plain.socket) -> None:
    default_runtime().default_socket_options = SocketOptions(
        send_buffer_bytes=BUFFER_BYTES, receive_buffer_bytes=BUFFER_BYTES
    )
    with plain.socket() as reference, connected(step, listener, SocketOptions()) as sock:
        for name in (plain.SO_SNDBUF, plain.SO_RCVBUF):
            before = reference.getsockopt(plain.SOL_SOCKET, name)
            reference.setsockopt(plain.SOL_SOCKET, name, BUFFER_BYTES)
            expected = reference.getsockopt(plain.SOL_SOCKET, name)
            assert sock.getsockopt(plain.SOL_SOCKET, name) == expected != before


def test_socket_buffer_options_before_accept(step: StepDispatcher, listener: plain.socket) -> None:
    """An accepted socket has the buffers of its listener, whatever the process sets later."""
    listener.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, BUFFER_BYTES)
    listener.setsockopt(plain.SOL_SOCKET, plain.SO_SNDBUF, BUFFER_BYTES)
    default_runtime().default_socket_options = SocketOptions(
        send_buffer_bytes=BUFFER_BYTES // 4, receive_buffer_bytes=BUFFER_BYTES // 4
    )
    with plain.create_connection(listener.getsockname()):
        near = Socket.of(listener.accept()[0], step)
        with plain.socket(fileno=plain.dup(near.fd)) as copy:
            for name in (plain.SO_SNDBUF, plain.SO_RCVBUF):
                inherited = listener.getsockopt(plain.SOL_SOCKET, name)
                assert copy.getsockopt(plain.SOL_SOCKET, name) == inherited
        near.close()
        step.run_until_idle()


@on_linux
@pytest.mark.parametrize(
    ("own", "of_process", "expected"),
    [
        (None, None, 30_000),
        (1000, None, 1000),
        (None, 2000, 2000),
        (3000, 2000, 3000),
        (0, None, 0),
        (0, 2000, 0),
        (None, 0, 0),
    ],
)
def test_tcp_user_timeout(
    step: StepDispatcher,
    listener: plain.socket,
    own: int | None,
    of_process: int | None,
    expected: int,
) -> None:
    default_runtime().default_socket_options = SocketOptions(tcp_user_timeout_ms=of_process)
    with connected(step, listener, SocketOptions(tcp_user_timeout_ms=own)) as sock:
        assert sock.getsockopt(TCP, plain.TCP_USER_TIMEOUT) == expected


@pytest.mark.parametrize("is_on", [True, False])
def test_no_delay(step: StepDispatcher, listener: plain.socket, is_on: bool) -> None:
    """Not among theirs: bRPC always sets it."""
    with connected(step, listener, SocketOptions(no_delay=is_on)) as sock:
        assert bool(sock.getsockopt(TCP, plain.TCP_NODELAY)) == is_on


def test_a_unix_socket_gets_those_that_it_has(step: StepDispatcher) -> None:
    options = SocketOptions(
        keepalive=True, tcp_user_timeout_ms=1000, send_buffer_bytes=BUFFER_BYTES
    )
    near, far = plain.socketpair()
    with near, far, plain.socket(plain.AF_UNIX) as reference:
        reference.setsockopt(plain.SOL_SOCKET, plain.SO_SNDBUF, BUFFER_BYTES)
        options.apply_to(near)
        for name in (plain.SO_SNDBUF, plain.SO_KEEPALIVE):
            expected = reference.getsockopt(plain.SOL_SOCKET, name)
            assert near.getsockopt(plain.SOL_SOCKET, name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keepalive_idle_s", 0),
        ("keepalive_idle_s", 32768),
        ("keepalive_idle_s", 1.5),
        ("keepalive_interval_s", -1),
        ("keepalive_count", 128),
        ("keepalive_count", True),
        ("tcp_user_timeout_ms", -1),
        ("tcp_user_timeout_ms", 1 << 31),
    ],
)
def test_options_that_the_kernel_does_not_take_are_refused_at_once(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be None or a whole number from"):
        SocketOptions(**{name: value})


@on_linux
@pytest.mark.parametrize("is_largest", [False, True])
def test_accepted_options_are_those_that_the_kernel_takes(
    step: StepDispatcher, listener: plain.socket, is_largest: bool
) -> None:
    idle, count, timeout = (32767, 127, 2**31 - 1) if is_largest else (1, 1, 0)
    options = SocketOptions(
        keepalive_idle_s=idle,
        keepalive_interval_s=idle,
        keepalive_count=count,
        tcp_user_timeout_ms=timeout,
    )
    with connected(step, listener, options) as sock:
        assert list(keepalive_of(sock).values()) == [1, idle, idle, count]
        assert sock.getsockopt(TCP, plain.TCP_USER_TIMEOUT) == timeout
