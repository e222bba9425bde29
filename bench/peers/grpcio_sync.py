"""grpcio from threads: a server with a pool of threads, a blocking client."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import grpc

from bench.closed_loop import OnAnswer, Window, run_callbacks, run_threads
from bench.echo_messages import METHOD_PATH, PACKAGE, EchoRequest, EchoResponse
from bench.loads import MESSAGE, TIMEOUT_S, Load, Style
from bench.peers.peer import OnReady, WaitForEnd

SERVER_THREADS = 10
"""As in grpcio's own examples."""


class GrpcioSync:
    def serve(self, style: Style, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        server = grpc.server(futures.ThreadPoolExecutor(SERVER_THREADS))
        server.add_generic_rpc_handlers((echo_handlers(echo),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        on_ready(port)
        wait_for_end()
        server.stop(None).wait()

    def run_client(self, load: Load, port: int, window: Window) -> float:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = echo_stub(channel)

            def call() -> str:
                return str(stub(EchoRequest(message=MESSAGE), timeout=TIMEOUT_S).message)

            def start(on_answer: OnAnswer) -> None:
                future = stub.future(EchoRequest(message=MESSAGE), timeout=TIMEOUT_S)
                future.add_done_callback(lambda ended: on_answer(ended.exception()))

            if load.style is Style.CALLBACKS:
                return run_callbacks(start, load.in_flight, window)
            return run_threads(call, load.in_flight, window)


def echo(request: Any, context: grpc.ServicerContext) -> Any:
    return EchoResponse(message=request.message)


def echo_handlers(behaviour: Any) -> grpc.GenericRpcHandler:
    """What a generated add_EchoServiceServicer_to_server registers."""
    method = grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=EchoRequest.FromString,
        response_serializer=EchoResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(f"{PACKAGE}.EchoService", {"Echo": method})


def echo_stub(channel: Any) -> Any:
    """What a generated EchoServiceStub has as its Echo."""
    return channel.unary_unary(
        METHOD_PATH,
        request_serializer=EchoRequest.SerializeToString,
        response_deserializer=EchoResponse.FromString,
    )


PEER = GrpcioSync()
