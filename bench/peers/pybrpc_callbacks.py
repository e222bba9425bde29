"""pybrpc with callbacks, each of which makes the next call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pybrpc
from bench.echo_messages import EchoRequest
from bench.peers.peer import OnAnswer
from bench.peers.pybrpc_modes import protocol
from bench.peers.pybrpc_sync import PybrpcClient
from bench.work import TIMEOUT_S


class PybrpcCallbackClient(PybrpcClient):
    def start(self, payload: bytes, on_answer: OnAnswer) -> None:
        self.stub.Echo.with_callback(
            EchoRequest(payload=payload), lambda _, error: on_answer(error)
        )


class PybrpcCallbacks:
    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[PybrpcCallbackClient]:
        address = f"127.0.0.1:{port}"
        with pybrpc.Channel(address, timeout=TIMEOUT_S, protocol=protocol()) as channel:
            yield PybrpcCallbackClient(channel)


PEER = PybrpcCallbacks()
