"""Half-open connections: how long until each side finds that the other one has vanished."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.errors import RpcError
from pybrpc.transport.runtime import default_runtime, reset_default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_table import SOCKETS
from soak.network.two_hosts import FAR_IP, two_hosts
from soak.tls import PLAIN, TlsPair, tls_pair

LIMIT_S = 120.0
PROMISED_S = 60.0
"""docs/connections.md: with the default options it is found within a minute."""
POLL_S = 0.01
ACKNOWLEDGED_S = 0.3
"""Linux delays an acknowledgement by at most 0.2 s."""
ASLEEP = "asleep"
"""The request to which the handler does not answer until the test lets it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One connection whose peer has vanished."""

    side: str
    state: str
    security: str
    seconds: float
    """From the cut to when it was given up; LIMIT_S if it was not."""
    error: str


class HalfOpen:
    """Connections between two hosts, of one process, in the states in which a cut may find them."""

    def __init__(self, options: pybrpc.SocketOptions, tls: TlsPair, security: str) -> None:
        self._options = options
        self._tls = tls
        self._security = security
        self._is_asked = threading.Event()
        self._may_answer = threading.Event()
        self._found: list[Found] = []
        self._threads: list[threading.Thread] = []
        self._stack = contextlib.ExitStack()

    def run(self) -> list[Found]:
        """Blocks until all are found, or LIMIT_S have passed."""
        with two_hosts() as hosts, self._stack:
            # Client sockets are made by the dispatcher, others by this thread.
            with hosts.near.entered():
                _ = default_runtime().dispatcher
            self._stack.callback(self._may_answer.set)
            servers = {}
            for state in ("idle", "asked", "sending"):
                with hosts.far.entered():
                    servers[state] = self._server()
            watches = [self._open(state, *server) for state, server in servers.items()]
            time.sleep(ACKNOWLEDGED_S)
            hosts.wire.cut()
            cut_at = time.monotonic()
            self._may_answer.set()
            for watch in watches:
                watch(cut_at)
            for thread in self._threads:
                thread.join()
        return self._found

    def _server(self) -> tuple[pybrpc.Server, str]:
        server = self._stack.enter_context(
            pybrpc.Server(tls=self._tls.server, options=self._options)
        )
        server.add_service(SERVICE, self)
        return server, str(server.start(f"{FAR_IP}:0"))

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.message == ASLEEP:
            self._is_asked.set()
            self._may_answer.wait(LIMIT_S)
        return EchoResponse(message=request.message)

    def _open(self, state: str, server: pybrpc.Server, address: str) -> Callable[[float], None]:
        """A connection in that state; gives what is to be done when the wire was cut."""
        channel = self._stack.enter_context(
            pybrpc.Channel(
                address, timeout=None, max_retry=0, tls=self._tls.client, options=self._options
            )
        )
        echo, controller = pybrpc.Stub(SERVICE, channel).Echo, pybrpc.Controller()
        echo(EchoRequest(), controller=controller)
        (near,) = [each for each in SOCKETS.all() if each.local_side == controller.local_side]
        if state == "asked":
            echo.future(EchoRequest(message=ASLEEP))
            self._is_asked.wait(LIMIT_S)

        def watch(cut_at: float) -> None:
            self._watch("client", state, cut_at, lambda: near.is_failed, near)
            if state == "sending":
                echo.future(EchoRequest(message="into nothing"))
                return
            far = "answering" if state == "asked" else state
            self._watch("server", far, cut_at, lambda: not server.statistics().connections, None)

        return watch

    def _watch(
        self,
        side: str,
        state: str,
        cut_at: float,
        is_found: Callable[[], bool],
        near: Socket | None,
    ) -> None:
        def wait() -> None:
            _wait_for(is_found, cut_at + LIMIT_S)
            error = "" if near is None else _name_of(near.error)
            seconds = time.monotonic() - cut_at
            self._found.append(Found(side, state, self._security, seconds, error))

        thread = threading.Thread(target=wait, name="half-open")
        self._threads.append(thread)
        thread.start()


def find_half_open(options: pybrpc.SocketOptions, with_tls: bool = False) -> list[Found]:
    """How long it takes with these options. Blocks; closes the process's default Runtime before
    and after it, as its dispatcher has to run on the near host."""
    reset_default_runtime()
    try:
        if not with_tls:
            return HalfOpen(options, PLAIN, "plain").run()
        with tls_pair(FAR_IP) as tls:
            return HalfOpen(options, tls, "TLS").run()
    finally:
        reset_default_runtime()


def _wait_for(condition: Callable[[], bool], end: float) -> None:
    while not condition() and time.monotonic() < end:
        time.sleep(POLL_S)


def _name_of(error: RpcError | None) -> str:
    return "" if error is None else error.name
