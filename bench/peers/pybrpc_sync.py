"""pybrpc from threads; the server's handler is a plain function."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pybrpc
import pybrpc.tune
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from bench.figures import Figures
from bench.peers.peer import Call, OnReady, WaitForEnd
from bench.peers.pybrpc_modes import protocol
from bench.work import TIMEOUT_S


class EchoService:
    descriptor: Any = SERVICE

    def __init__(self, answer: Call) -> None:
        self.answer = answer

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(payload=self.answer(request.payload, request.sleep_us))


class AttachmentService(EchoService):
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        attachment = controller.request_attachment
        controller.response_attachment = self.answer(attachment, request.sleep_us)
        return EchoResponse()


class PybrpcClient:
    descriptor: Any = SERVICE

    def __init__(self, channel: pybrpc.Channel) -> None:
        self.channel = channel
        self.stub: Any = pybrpc.Stub(self.descriptor, channel)

    def caller(self) -> Call:
        return self.call

    def call(self, payload: bytes, sleep_us: int) -> Any:
        return self.stub.Echo(EchoRequest(payload=payload, sleep_us=sleep_us)).payload

    def statistics(self) -> Figures:
        return statistics_of(self.channel)


class AttachmentClient(PybrpcClient):
    def call(self, payload: bytes, sleep_us: int) -> Any:
        controller = pybrpc.Controller()
        controller.request_attachment = payload
        self.stub.Echo(EchoRequest(sleep_us=sleep_us), controller=controller)
        return controller.response_attachment


class PybrpcSync:
    host = "127.0.0.1"

    def __init__(self, service: type[EchoService], client: type[PybrpcClient]) -> None:
        self._service = service
        self._client = client

    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        server = pybrpc.Server()
        server.add_service(self._service.descriptor, self._service(answer))
        endpoint = server.start(f"{self.host}:0")
        self.prepare(server)
        on_ready(endpoint.port)
        wait_for_end()
        server.stop(grace=1.0)
        server.join()

    def prepare(self, server: pybrpc.Server) -> None:
        """Change `server`, which has started, before its first call."""

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[PybrpcClient]:
        address = f"127.0.0.1:{port}"
        with pybrpc.Channel(address, timeout=TIMEOUT_S, protocol=protocol()) as channel:
            yield self._client(channel)


class TunedPybrpc(PybrpcSync):
    """Both processes keep memory, as `pybrpc serve` does."""

    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        pybrpc.tune.keep_memory()
        super().serve(answer, on_ready, wait_for_end)

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[PybrpcClient]:
        pybrpc.tune.keep_memory()
        with super().client(port) as client:
            yield client


def statistics_of(channel: pybrpc.Channel | pybrpc.aio.Channel) -> Figures:
    """Since the connection was made, the warm-up included."""
    found = channel.statistics()
    if found is None:
        return {}
    socket = found.socket
    return {
        "messages_per_write": socket.messages_per_write,
        "messages_per_read": socket.messages_read / max(1, socket.reads),
    }


PEER = PybrpcSync(EchoService, PybrpcClient)
TUNED = TunedPybrpc(EchoService, PybrpcClient)
ATTACHMENT = PybrpcSync(AttachmentService, AttachmentClient)
