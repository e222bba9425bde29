"""pyzmq: one ROUTER answers in a loop, a DEALER for each thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import zmq

from bench.peers.peer import Call, NoStatistics, OnReady, WaitForEnd
from bench.work import TIMEOUT_S


class PyzmqClient(NoStatistics):
    def __init__(self, port: int, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._port = port
        self._context = context

    def caller(self) -> Call:
        dealer = self._context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.RCVTIMEO, int(TIMEOUT_S * 1000))
        dealer.connect(f"tcp://127.0.0.1:{self._port}")

        def call(payload: bytes, sleep_us: int) -> bytes:
            dealer.send_multipart((sleep_us.to_bytes(4, "big"), payload))
            return dealer.recv_multipart()[1]

        return call


class PyzmqSync:
    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            on_ready(router.bind_to_random_port("tcp://127.0.0.1"))
            threading.Thread(target=answer_all, args=(router, answer), daemon=True).start()
            wait_for_end()
            context.destroy(linger=0)

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[PyzmqClient]:
        context = zmq.Context()
        yield PyzmqClient(port, context)
        context.destroy(linger=0)


def answer_all(router: zmq.Socket[bytes], answer: Call) -> None:
    """One after the other: who asks it to sleep lets everybody wait."""
    with contextlib.suppress(zmq.ContextTerminated, zmq.ZMQError):
        while True:
            caller, head, payload = router.recv_multipart()
            sleep_us = int.from_bytes(head[:4], "big")
            router.send_multipart((caller, head, answer(payload, sleep_us)))


PEER = PyzmqSync()
