"""OddWorker: a worker of a supervisor that does anything when it is asked for pages."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable

from pybrpc.server.workers.pages.asking import AskedWorker
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import MAX_HEAD_BYTES, MessageReader

Behaviour = Callable[[socket.socket], None]


class OddWorker:
    """Does with each stream what the test says, in a thread."""

    def __init__(self, do: Behaviour) -> None:
        channel = PageChannel()
        self._do = do
        self._end = socket.socket(fileno=os.dup(channel.their_fd))
        channel.release_theirs()
        self.asked = AskedWorker(5, 71, "serving", channel)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(self._end, 1, 4)
            for fd in fds:
                with socket.socket(fileno=fd) as stream:
                    self._do(stream)
            if not data:
                return

    def close(self) -> None:
        self.asked.channel.close()
        self._thread.join()
        self._end.close()


def sizes(head: int, body: int) -> bytes:
    """The begin of a message: the lengths of its parts."""
    return head.to_bytes(4, "big") + body.to_bytes(4, "big")


def message(head: object, body: bytes = b"") -> bytes:
    """A message with any head."""
    data = json.dumps(head).encode()
    return sizes(len(data), len(body)) + data + body


def read_question(stream: socket.socket) -> bytes:
    """Read a whole question; return its head."""
    reader = MessageReader(MAX_HEAD_BYTES)
    while wanted := reader.bytes_wanted():
        reader.add(stream.recv(wanted))
    return reader.parts()[0]


def answering(data: bytes) -> Behaviour:
    """Reads the question, and sends these bytes."""

    def answer(stream: socket.socket) -> None:
        read_question(stream)
        with contextlib.suppress(OSError):
            stream.sendall(data)

    return answer
