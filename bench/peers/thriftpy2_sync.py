"""thriftpy2: a connection for each thread, TThreadedServer, its Cython protocol and transport."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import thriftpy2
from thriftpy2.protocol import TCyBinaryProtocolFactory
from thriftpy2.rpc import make_client
from thriftpy2.server import TThreadedServer
from thriftpy2.thrift import TProcessor
from thriftpy2.transport import TCyBufferedTransportFactory, TServerSocket

from bench.peers.peer import Call, NoStatistics, OnReady, WaitForEnd
from bench.work import TIMEOUT_S

SERVICE: Any = thriftpy2.load(
    str(Path(__file__).parent / "echo.thrift"), module_name="bench_echo_thrift"
).EchoService
TIMEOUT_MS = int(TIMEOUT_S * 1000)
PROTOCOL: Any = TCyBinaryProtocolFactory()  # type: ignore[no-untyped-call]
TRANSPORT = TCyBufferedTransportFactory()


class Handler:
    def __init__(self, answer: Call) -> None:
        self.echo = answer


class PortedSocket(TServerSocket):
    """Listens on a free port, and says on which."""

    def __init__(self, on_ready: OnReady) -> None:
        super().__init__("127.0.0.1", 0, client_timeout=None)  # type: ignore[no-untyped-call]
        self._on_ready = on_ready

    def listen(self) -> None:
        super().listen()  # type: ignore[no-untyped-call]
        assert self.sock is not None
        self._on_ready(self.sock.getsockname()[1])


class Thriftpy2Client(NoStatistics):
    def __init__(self, port: int, clients: contextlib.ExitStack) -> None:
        self._port = port
        self._clients = clients

    def caller(self) -> Call:
        client = make_client(
            SERVICE,
            "127.0.0.1",
            self._port,
            proto_factory=PROTOCOL,
            trans_factory=TRANSPORT,
            timeout=TIMEOUT_MS,
        )
        self._clients.callback(client.close)
        call: Call = client.echo
        return call


class Thriftpy2Sync:
    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        server = TThreadedServer(
            TProcessor(SERVICE, Handler(answer)),
            PortedSocket(on_ready),
            iprot_factory=PROTOCOL,
            itrans_factory=TRANSPORT,
            daemon=True,
        )
        threading.Thread(target=server.serve, daemon=True).start()
        wait_for_end()

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[Thriftpy2Client]:
        with contextlib.ExitStack() as clients:
            yield Thriftpy2Client(port, clients)


PEER = Thriftpy2Sync()
