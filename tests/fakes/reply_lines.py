"""Line: a connection whose responses a test gives, and its peer."""

from __future__ import annotations

import socket as plain
from collections.abc import Callable
from typing import Generic, TypeVar

from pybrpc.iobuf import IOBuf
from pybrpc.server.calls.ordered_replies import OrderedReplies
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from tests.schedules.scenarios import all_of

Replies = TypeVar("Replies", bound=OrderedReplies)


class Line(Generic[Replies]):
    """A connection with four requests, and its peer."""

    def __init__(self, make: Callable[[Socket, Backlog], Replies]) -> None:
        near, self.peer = plain.socketpair()
        self.peer.setblocking(False)
        self.step = StepDispatcher()
        self.socket = Socket.of(near, self.step)
        self.step.run_until_idle()
        self.unanswered = Backlog(1 << 20)
        self.replies = make(self.socket, self.unanswered)
        for _ in range(4):
            self.replies.next_position()

    def answer(self, position: int) -> None:
        self.replies.put(position, IOBuf(b"<%d>" % position))
        self.write()

    def write(self) -> None:
        self.replies.write()
        self.step.run_until_idle()

    def received(self) -> bytes:
        return all_of(self.peer)

    def close(self) -> None:
        self.socket.close()
        self.step.run_until_idle()
        self.peer.close()
