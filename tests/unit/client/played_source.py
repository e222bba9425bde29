"""Sources of connections whose connections are played by the test: no descriptor, no thread."""

from __future__ import annotations

import errno
import itertools
import types
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.endpoints import idle_sweep as idle_watch_module
from pybrpc.client.endpoints import reconnector as dialer_module
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.testing.step_scheduler import StepScheduler
from tests.unit.client.played import PEER, PlayedCall, start, written_request

_ids = itertools.count(1)


class PlayedSocket:
    """Connects, moves bytes and fails when its connection is told to."""

    remote_side = PEER
    local_side = None
    description = f"{PEER} (played)"

    def __init__(self) -> None:
        self.id = next(_ids)
        self.error: RpcError | None = None
        self.is_connected = False
        self.connects = 0
        self.bytes_moved = 0
        self.user: Any = None

    def start_write(self, data: Any) -> None:
        """Of the empty message that makes it connect."""
        assert not len(data)
        self.connects += 1

    def fail(self, error: RpcError) -> bool:
        if self.error is not None:
            return False
        self.error = error
        self.user.on_failed(self, error)
        return True

    def close(self) -> None:
        self.fail(make_rpc_error(ErrorCode.ECLOSE, "closed", phase=Phase.WAITING))

    def statistics(self) -> Any:
        return types.SimpleNamespace(bytes_read=0, bytes_written=self.bytes_moved)


class PlayedLine(ClientConnection):
    """A ClientConnection over a PlayedSocket."""

    __slots__ = ("attempts",)

    def __init__(self, timeouts: TimeoutQueues, owner: ConnectionOwner | None) -> None:
        self.attempts: dict[Attempt, None] = {}
        super().__init__(PlayedSocket(), timeouts, owner)  # type: ignore[arg-type]
        self.socket.user = self  # type: ignore[attr-defined]

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

    def _take_all(self) -> list[Attempt]:
        taken, self.attempts = list(self.attempts), {}
        return taken

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
        self._note_answer()
        body = b"" if message is None else message.SerializeToString()
        attempt.call.on_response(attempt, RpcResponse(1, body=IOBuf(body)))

    def log_off_caller(self) -> None:
        attempt = next(iter(self.attempts))
        del self.attempts[attempt]
        error = make_rpc_error(ErrorCode.ELOGOFF, "stopping", phase=Phase.SERVER)
        attempt.call.on_error_response(attempt, error)


class PlayedMaker:
    """In the place of a ConnectionFactory."""

    endpoint = PEER

    def __init__(self, dispatcher: StepDispatcher) -> None:
        self.dispatcher = dispatcher
        self.made: list[PlayedLine] = []

    def make(self, timeouts: TimeoutQueues, owner: ConnectionOwner | None) -> PlayedLine:
        line = PlayedLine(timeouts, owner)
        self.made.append(line)
        return line


class Played:
    """One source with one user, its connections, its dispatcher and its clock."""

    def __init__(self, kind: type[SourceBase], settings: Any, step: StepDispatcher) -> None:
        self.step = step
        self.maker = PlayedMaker(step)
        self.source = kind(self.maker, settings)  # type: ignore[arg-type]
        self.source.acquire()

    @property
    def made(self) -> list[PlayedLine]:
        return self.maker.made

    def start(self, **options: Any) -> PlayedCall:
        return start(self.source, None, **options)

    def turn(self, function: Any) -> None:
        """Let `function` happen in a turn of the dispatcher, and what follows from it."""
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


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Iterator[StepDispatcher]:
    """A dispatcher by whose clock sources go."""
    made = StepDispatcher()
    monkeypatch.setattr(dialer_module, "time", made.clock)
    monkeypatch.setattr(idle_watch_module, "time", made.clock)
    yield made
    assert made.raised == []


class SteppingDict(dict[Any, Any]):
    """Comes to a point of the scheduler before each step that others may see, or that sees them."""

    def __init__(self, scheduler: StepScheduler, name: str) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._name = name

    def __setitem__(self, key: Any, value: Any) -> None:
        self._scheduler.point(f"put into {self._name}")
        super().__setitem__(key, value)

    def pop(self, *arguments: Any) -> Any:
        self._scheduler.point(f"pop from {self._name}")
        return super().pop(*arguments)

    def popitem(self) -> Any:
        self._scheduler.point(f"popitem from {self._name}")
        return super().popitem()

    def __bool__(self) -> bool:
        self._scheduler.point(f"look at {self._name}")
        return len(self) > 0
