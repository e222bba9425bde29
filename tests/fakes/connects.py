"""Attempt: a Connector, and what it ended in."""

from __future__ import annotations

import socket as plain
import threading

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import RpcError
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.connecting.connector import Connector
from pybrpc.transport.socket_options import SocketOptions


class Attempt:
    """A Connector, and what it ended in."""

    def __init__(self, endpoint: Endpoint, step: StepDispatcher, deadline: float = NEVER) -> None:
        self.connected: list[plain.socket] = []
        self.failed: list[RpcError] = []
        self.over = threading.Event()
        self.step = step
        self.connector = Connector(
            endpoint,
            SocketOptions(),
            step,
            lambda sock: (self.connected.append(sock), self.over.set()),
            lambda error: (self.failed.append(error), self.over.set()),
        )
        step.call_at(deadline, self.connector.expire)
        step.post(self.connector.begin)

    def run(self) -> None:
        while not self.over.is_set():
            self.step.run_until_idle()
        self.close()

    def close(self) -> None:
        for sock in self.connected:
            sock.close()

    @property
    def error(self) -> RpcError:
        assert self.connected == []
        (error,) = self.failed
        return error

    @property
    def peers(self) -> list[object]:
        """Where the connections go that were handed over; closes them."""
        peers = [sock.getpeername() for sock in self.connected]
        self.close()
        return peers
