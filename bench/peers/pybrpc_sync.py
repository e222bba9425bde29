"""pybrpc from threads and with callbacks; the server's handler is a plain function."""

from __future__ import annotations

from typing import Any

import pybrpc
from bench.closed_loop import OnAnswer, Window, run_callbacks, run_threads
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from bench.loads import MESSAGE, TIMEOUT_S, Load, Style
from bench.peers.peer import OnReady, WaitForEnd


class EchoService:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


class PybrpcSync:
    def serve(self, style: Style, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        server = pybrpc.Server()
        server.add_service(SERVICE, EchoService())
        on_ready(server.start("127.0.0.1:0").port)
        wait_for_end()
        server.stop(grace=1.0)
        server.join()

    def run_client(self, load: Load, port: int, window: Window) -> float:
        with pybrpc.Channel(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as channel:
            stub = pybrpc.Stub(SERVICE, channel)

            def call() -> str:
                return str(stub.Echo(EchoRequest(message=MESSAGE)).message)

            def start(on_answer: OnAnswer) -> None:
                stub.Echo.with_callback(
                    EchoRequest(message=MESSAGE), lambda _, error: on_answer(error)
                )

            if load.style is Style.CALLBACKS:
                return run_callbacks(start, load.in_flight, window)
            return run_threads(call, load.in_flight, window)


PEER = PybrpcSync()
