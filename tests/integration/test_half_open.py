"""Peers that vanish without a word are found by keepalive and TCP_USER_TIMEOUT.

With shorter times than the defaults, by whose values the tests of the options go.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import pybrpc
from pybrpc.errors import ConnectionFailedError
from pybrpc.transport.socket import Socket
from pybrpc.transport.socket_table import SOCKETS
from tests.peers.callers import caller
from tests.peers.dead_peer import FAR_IP, NEAR_IP, Host, can_make_hosts, other_host
from tests.peers.echo import ECHO, echo_request

pytestmark = [
    pytest.mark.skipif(not can_make_hosts(), reason="needs root and network namespaces"),
    pytest.mark.slow,
]

WATCHFUL = pybrpc.SocketOptions(
    keepalive_idle_s=1, keepalive_interval_s=1, keepalive_count=2, tcp_user_timeout_ms=1500
)
CARELESS = pybrpc.SocketOptions(keepalive=False, tcp_user_timeout_ms=0)
FOUND = {errno.ETIMEDOUT, errno.EHOSTUNREACH}
HANG_S = 60.0

SERVE = """
import sys, time
import pybrpc
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

class EchoService:
    def Echo(self, request, controller):
        if request.message == "sleep":
            time.sleep(3600)
        return pb.EchoResponse(message=request.message)
    Stream = Echo

server = pybrpc.Server()
server.add_service(ECHO, EchoService())
print(server.start(sys.argv[1]), flush=True)
sys.stdin.read()
"""

CONNECT = """
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
connection = socket.create_connection((host, int(port)), timeout=30)
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def host() -> Iterator[Host]:
    with other_host() as host:
        yield host


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def socket_of(controller: pybrpc.Controller) -> Socket:
    """The connection on which a call went."""
    (found,) = [each for each in SOCKETS.all() if each.local_side == controller.local_side]
    return found


@pytest.mark.parametrize("form", ["blocking", "asyncio"])
def test_call_that_waits_for_a_peer_that_vanished(form: str, host: Host) -> None:
    with host.running(SERVE, f"{FAR_IP}:0") as address:
        with caller(form, address, timeout=HANG_S, max_retry=0, options=WATCHFUL) as client:
            assert client.call(echo_request("hello")).message == "hello"
            threading.Timer(0.5, host.vanish).start()
            with pytest.raises(ConnectionFailedError) as caught:
                client.call(echo_request("sleep"))
    assert caught.value.code in FOUND


def test_idle_connection_to_a_peer_that_vanished(host: Host) -> None:
    """The one that is not watched still believes in its peer when the other one knows."""
    with host.running(SERVE, f"{FAR_IP}:0") as address:
        with (
            pybrpc.Channel(address, timeout=HANG_S, options=WATCHFUL) as watchful,
            pybrpc.Channel(address, timeout=HANG_S, options=CARELESS) as careless,
        ):
            sockets = []
            for channel in (watchful, careless):
                controller = pybrpc.Controller()
                pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)
                sockets.append(socket_of(controller))
            host.vanish()
            wait_until(lambda: sockets[0].is_failed)
            assert not sockets[1].is_failed
            assert sockets[0].error is not None
            assert sockets[0].error.code in FOUND


def test_server_finds_that_its_client_has_vanished(host: Host) -> None:
    with pybrpc.Server(options=WATCHFUL) as server:
        address = server.start(f"{NEAR_IP}:0")
        with host.running(CONNECT, str(address)) as said:
            assert said == "connected"
            wait_until(lambda: server.statistics().connections == 1)
            host.vanish()
            wait_until(lambda: server.statistics().connections == 0)
