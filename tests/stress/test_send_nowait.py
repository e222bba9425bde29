"""Threads that send on one stream at once, some without waiting: none is lost, all in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import pybrpc
from tests.fakes.threads import in_threads
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse

THREADS = 4
MESSAGES = 5000
PATIENT_S = 30.0


class Streaming:
    """Keeps the stream of its call."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.stream: Any = None

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.stream = controller.accept_stream(pybrpc.StreamOptions(max_buf_size=4000))
        self.has_begun.set()
        return EchoResponse(message=request.message)


def test_messages_of_each_thread_come_in_order_and_none_that_was_taken_is_lost() -> None:
    handlers = Streaming()
    taken: dict[int, int] = {}
    received: dict[int, list[int]] = defaultdict(list)

    def send(sender: int) -> None:
        count = 0
        for number in range(MESSAGES):
            message = b"%d %d" % (sender, count)
            try:
                if number % 7:
                    handlers.stream.send_nowait(message)
                else:
                    handlers.stream.send(message, timeout=PATIENT_S)
            except pybrpc.errors.OvercrowdedError:
                continue
            count += 1
        taken[sender] = count

    def send_all() -> None:
        in_threads(THREADS, send)
        handlers.stream.close()

    with pybrpc.Server() as server:
        server.add_service(SERVICE, handlers, partial=True)
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=PATIENT_S) as channel:
            stub: Any = pybrpc.Stub(SERVICE, channel)
            with stub.Echo.stream(EchoRequest(message="x")) as call:
                assert handlers.has_begun.wait(PATIENT_S)
                sender = threading.Thread(target=send_all)
                sender.start()
                for message in call.stream:
                    thread, count = bytes(message).split()
                    received[int(thread)].append(int(count))
                sender.join()
    assert received == {each: list(range(count)) for each, count in taken.items()}
    assert min(taken.values()) >= MESSAGES / 7
