"""Connection sources with fake connections: without descriptors and threads."""

from __future__ import annotations

import errno
import types
from typing import Any

from google.protobuf.message import Message

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ErrorCode, Phase, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.client_socket import PEER, FakeSocket
from tests.fakes.connections import FakeCall, start, written_request


class FakeClientConnection(ClientConnection):
    """A ClientConnection over a FakeSocket."""

    __slots__ = ("attempts",)

    def __init__(self, timeouts: TimeoutQueues, owner: ConnectionOwner | None) -> None:
        self.attempts: dict[Attempt, None] = {}
        super().__init__(FakeSocket(), timeouts, owner)  # type: ignore[arg-type]
        self.socket.user = self  # type: ignore[attr-defined]
        self.socket.dispatcher = timeouts.dispatcher

    @property
    def in_flight(self) -> int:
        return len(self.attempts)

    def send(self, attempt: Attempt) -> None:
        if self.socket.error is not None:
            raise self.socket.error.copy()
        attempt.write_request = written_request()
        self.attempts[attempt] = None

    def statistics(self) -> Any:
        return types.SimpleNamespace(socket=self.socket.statistics())

    def _take(self, attempt: Attempt) -> bool:
        return self.attempts.pop(attempt, attempt) is None

    def _attempts(self) -> list[Attempt]:
        return list(self.attempts)

    # --- what the peer does ---

    def stand(self) -> None:
        self.socket.is_connected = True
        self.on_connected(self.socket)

    def fail(self, code: int, phase: Phase = Phase.WAITING) -> None:
        self.socket.fail(make_rpc_error(code, "broken", phase=phase, peer=str(PEER)))

    def refuse(self) -> None:
        self.fail(errno.ECONNREFUSED, Phase.CONNECT)

    def answer(self, message: Message | None = None) -> None:
        """With an empty body unless told otherwise."""
        attempt = next(iter(self.attempts))
        del self.attempts[attempt]
        self.socket.messages_read += 1  # type: ignore[misc]
        self._note_answer()
        body = b"" if message is None else message.SerializeToString()
        attempt.call.on_response(attempt, RpcResponse(1, body=IOBuf(body)))

    def log_off_caller(self) -> None:
        attempt = next(iter(self.attempts))
        del self.attempts[attempt]
        error = make_rpc_error(ErrorCode.ELOGOFF, "stopping", phase=Phase.SERVER)
        attempt.call.on_error_response(attempt, error)


class FakeConnectionFactory:
    """Replaces a ConnectionFactory."""

    endpoint = PEER
    protocol = BAIDU_STD

    def __init__(self, dispatcher: StepDispatcher) -> None:
        self.dispatcher = dispatcher
        self.made: list[FakeClientConnection] = []

    def make(
        self,
        timeouts: TimeoutQueues,
        owner: ConnectionOwner | None,
        is_for_one_call: bool = False,
    ) -> FakeClientConnection:
        line = FakeClientConnection(timeouts, owner)
        self.made.append(line)
        return line


class SourceHarness:
    """A source with one user, its fake connections, and a dispatcher with a clock."""

    def __init__(self, kind: type[SourceBase], settings: Any, step: StepDispatcher) -> None:
        self.step = step
        self.maker = FakeConnectionFactory(step)
        self.source = kind(self.maker, settings)  # type: ignore[arg-type]
        self.source.acquire()

    @property
    def made(self) -> list[FakeClientConnection]:
        return self.maker.made

    def start(self, **options: Any) -> FakeCall:
        return start(self.source, None, **options)

    def turn(self, function: Any) -> None:
        """Run `function` in a turn of the dispatcher, and all that it causes."""
        self.step.post(function)
        self.step.run_until_idle()

    def go_down(self) -> None:
        """A call finds that nobody listens."""
        call = self.start(max_retry=0)
        self.turn(self.made[-1].refuse)
        assert call.ends

    def counts(self) -> tuple[int, int, int, int]:
        """Created, closed, in use, waiting."""
        found = self.source.statistics()
        return found.created, found.closed, found.in_use, found.waiting
