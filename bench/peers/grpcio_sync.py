"""grpcio from threads, and with the callbacks of its futures; the server has a pool of threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

from bench.echo_messages import EchoRequest, EchoResponse
from bench.peers.grpcio_service import SERVER_OPTIONS, echo_handlers, echo_stub
from bench.peers.peer import Call, NoStatistics, OnAnswer, OnReady, WaitForEnd
from bench.work import TIMEOUT_S

SERVER_THREADS = 10
"""As in grpcio's own examples."""


class GrpcioClient(NoStatistics):
    def __init__(self, channel: grpc.Channel) -> None:
        self.echo = echo_stub(channel)

    def caller(self) -> Call:
        return self.call

    def call(self, payload: bytes, sleep_us: int) -> Any:
        request = EchoRequest(payload=payload, sleep_us=sleep_us)
        return self.echo(request, timeout=TIMEOUT_S).payload

    def start(self, payload: bytes, on_answer: OnAnswer) -> None:
        future = self.echo.future(EchoRequest(payload=payload), timeout=TIMEOUT_S)
        future.add_done_callback(lambda ended: on_answer(ended.exception()))


class GrpcioSync:
    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        def echo(request: Any, context: grpc.ServicerContext) -> Any:
            return EchoResponse(payload=answer(request.payload, request.sleep_us))

        server = grpc.server(futures.ThreadPoolExecutor(SERVER_THREADS), options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((echo_handlers(echo),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        on_ready(port)
        wait_for_end()
        server.stop(None).wait()

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[GrpcioClient]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield GrpcioClient(channel)


PEER = GrpcioSync()
