"""Options of sockets on both ends of a call: what is not given comes from the process."""

from __future__ import annotations

import socket
import sys

import pytest

import pybrpc
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket_table import SOCKETS
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.protos import conformance_pb2 as pb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of Linux")

TCP = socket.IPPROTO_TCP
BOTH_ENDS = 2


class EchoService:
    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        return pb.EchoResponse(message=request.message)

    Stream = Echo


def of_both_ends(options: pybrpc.SocketOptions | None = None) -> set[tuple[int, int, int]]:
    """Keepalive on or off, idle time, user timeout: of client and server, after a call."""
    with pybrpc.Server(options=options) as server:
        server.add_service(ECHO, EchoService())
        with caller("blocking", str(server.start("127.0.0.1:0")), options=options) as client:
            client.call(echo_request())
            ends = SOCKETS.all()
            assert len(ends) == BOTH_ENDS
            return {options_of(end.fd) for end in ends}


def options_of(fd: int) -> tuple[int, int, int]:
    with socket.socket(fileno=socket.dup(fd)) as sock:
        return (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(TCP, socket.TCP_KEEPIDLE),
            sock.getsockopt(TCP, socket.TCP_USER_TIMEOUT),
        )


def test_keepalive_is_on_at_both_ends_by_default() -> None:
    assert of_both_ends() == {(1, 30, 30_000)}


def test_options_not_given_come_from_the_default_runtime_at_both_ends() -> None:
    default_runtime().default_socket_options = pybrpc.SocketOptions(
        keepalive_idle_s=7, tcp_user_timeout_ms=7000
    )
    assert of_both_ends(pybrpc.SocketOptions(tcp_user_timeout_ms=8000)) == {(1, 7, 8000)}


def test_keepalive_can_be_switched_off_at_both_ends() -> None:
    ((keepalive, _, timeout),) = of_both_ends(
        pybrpc.SocketOptions(keepalive=False, tcp_user_timeout_ms=0)
    )
    assert (keepalive, timeout) == (0, 0)
