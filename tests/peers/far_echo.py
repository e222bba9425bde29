"""FarEcho: a server on another host, and a wire to it that fails; both in this process.

Client connections are made on the near host while `near_and_far` lasts: by this thread, by those
that it starts, and by the dispatcher.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pybrpc
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_table import SOCKETS
from soak.network.two_hosts import FAR_IP, TwoHosts, two_hosts
from tests.peers.echo import ECHO
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb

WATCHFUL = pybrpc.SocketOptions(
    keepalive_idle_s=1, keepalive_interval_s=1, keepalive_count=2, tcp_user_timeout_ms=1500
)
"""A peer that vanishes is detected after 1.5 s if something was sent to it, else after 2 s."""
CARELESS = pybrpc.SocketOptions(keepalive=False, tcp_user_timeout_ms=0)
SLEEP = "sleep"
SECURITIES = ("plain", "tls")
HANG_S = 60.0


class FarEcho:
    """Echoes message and attachment; sleeps over SLEEP until the test is over. Accepts streams."""

    def __init__(self, hosts: TwoHosts) -> None:
        self.hosts = hosts
        self.wire = hosts.wire
        self.executed: Counter[str] = Counter()
        """How often each message was run."""
        self.accepted: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        """Streams that were accepted, one list for each request."""
        self.is_over = threading.Event()
        self._stack = contextlib.ExitStack()

    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        self.executed[request.message] += 1
        if request.message == SLEEP:
            self.is_over.wait()
        if controller._streams is not None:
            self.accepted.put(controller.accept_streams())
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo

    def serve(
        self,
        security: str = "plain",
        ip: str = FAR_IP,
        options: pybrpc.SocketOptions = WATCHFUL,
    ) -> tuple[pybrpc.Server, str]:
        """A server on the far host, and its address."""
        tls = certificates().server_tls() if security == "tls" else None
        server = self._stack.enter_context(pybrpc.Server(tls=tls, options=options))
        server.add_service(ECHO, self)
        with self.hosts.far.entered():
            return server, str(server.start(f"{ip}:0"))

    def close(self) -> None:
        self.wire.mend()
        self.is_over.set()
        self._stack.close()


@contextlib.contextmanager
def near_and_far() -> Iterator[FarEcho]:
    with two_hosts() as hosts, hosts.near.entered():
        _ = default_runtime().dispatcher
        far = FarEcho(hosts)
        with contextlib.closing(far):
            yield far


def channel_options(security: str, **options: Any) -> dict[str, Any]:
    """Options of a channel with long timeouts, whose connection detects a dead peer soon."""
    tls = certificates().client_tls() if security == "tls" else None
    return {"timeout": 60, "connect_timeout": 30, "tls": tls, "options": WATCHFUL, **options}


def socket_of(controller: pybrpc.Controller) -> Socket:
    """The connection on which a call went."""
    (found,) = [each for each in SOCKETS.all() if each.local_side == controller.local_side]
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
