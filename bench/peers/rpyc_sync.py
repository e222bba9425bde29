"""rpyc: a connection for each thread, ThreadedServer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import rpyc  # type: ignore[import-untyped]
from rpyc.utils.server import ThreadedServer  # type: ignore[import-untyped]

from bench.peers.peer import Call, NoStatistics, OnReady, WaitForEnd
from bench.work import TIMEOUT_S

CONFIG = {"sync_request_timeout": TIMEOUT_S}


class RpycClient(NoStatistics):
    def __init__(self, port: int, connections: contextlib.ExitStack) -> None:
        self._port = port
        self._connections = connections

    def caller(self) -> Call:
        connection: Any = rpyc.connect("127.0.0.1", self._port, config=CONFIG)
        self._connections.callback(connection.close)
        call: Call = connection.root.echo
        return call


class RpycSync:
    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        class EchoService(rpyc.Service):  # type: ignore[misc]
            def exposed_echo(self, payload: bytes, sleep_us: int) -> Any:
                return answer(payload, sleep_us)

        server = ThreadedServer(EchoService, hostname="127.0.0.1", port=0)
        threading.Thread(target=server.start, daemon=True).start()
        on_ready(server.port)
        wait_for_end()
        server.close()

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[RpycClient]:
        with contextlib.ExitStack() as connections:
            yield RpycClient(port, connections)


PEER = RpycSync()
