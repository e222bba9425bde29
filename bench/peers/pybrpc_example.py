"""pybrpc from threads, as the other side of C++ bRPC's example: its service, without sleeping."""

from __future__ import annotations

from typing import Any

import pybrpc
from bench.echo_messages import EXAMPLE
from bench.peers.pybrpc_sync import EchoService, PybrpcClient, PybrpcSync


class ExampleService(EchoService):
    descriptor = EXAMPLE.service

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EXAMPLE.response(message=self.answer(request.message, 0))


class ExampleClient(PybrpcClient):
    descriptor = EXAMPLE.service

    def call(self, payload: bytes, sleep_us: int) -> Any:
        return self.stub.Echo(EXAMPLE.request(message=payload)).message


PEER = PybrpcSync(ExampleService, ExampleClient)
