"""A connection with traced parts: its holds, its attempts, its error, and whether it is retired.

`HoldStage` has one connection of a source, and what happens to it. It needs of a connection only
`hold`, `release_hold`, `is_held` and `retire`, and that its users hear of a failure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.protocols.baidu_std import BAIDU_STD, BaiduStd
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.testing.step_scheduler import StepScheduler
from tests.fakes.client_socket import PEER, FakeSocket
from tests.fakes.connections import start
from tests.schedules.traced import TracedDict, TracedSlot

PROTOCOL = BaiduStd()


class Held(Protocol):
    """A connection that users hold, of a client or of a server."""

    def hold(self, user: Any) -> None: ...
    def release_hold(self, user: Any) -> None: ...
    def is_held(self) -> bool: ...
    def retire(self) -> None: ...


class CountedDict(TracedDict):
    """A TracedDict with points also before its length is taken and before it is listed."""

    def __len__(self) -> int:
        self._scheduler.point(f"count {self._name}")
        return super().__len__()

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[Any]:
        self._scheduler.point(f"list {self._name}")
        return iter(list(super().keys()))

    def values(self) -> Any:
        self._scheduler.point(f"list {self._name}")
        return list(super().values())


class TracedSocket(FakeSocket):
    """A socket whose failure is reported in a turn, as that of a real one is."""

    def __init__(self, scheduler: StepScheduler, dispatcher: StepDispatcher) -> None:
        self._scheduler = scheduler
        self._error: RpcError | None = None
        super().__init__()
        self.dispatcher = dispatcher
        self.written: list[Any] = []
        self.on_fail: Callable[[RpcError], object] = lambda error: None

    @property
    def error(self) -> RpcError | None:  # type: ignore[override]
        self._scheduler.point("read the error")
        return self._error

    @error.setter
    def error(self, error: RpcError | None) -> None:
        self._error = error

    def write_request(self, request: Any) -> None:
        error = self.error
        if error is not None:
            raise error.copy()
        self.written.append(request)

    def fail(self, error: RpcError) -> bool:
        self._scheduler.point("fail")
        if self._error is not None:
            return False
        self._error = error
        self.on_fail(error)
        self.dispatcher.post_cleanup(partial(self.user.on_failed, self, error))
        self._scheduler.point("failed")
        return True


class TracedFactory:
    """Makes connections with traced parts. Replaces a ConnectionFactory."""

    endpoint = PEER
    protocol = BAIDU_STD
    loop = None

    def __init__(self, scheduler: StepScheduler, dispatcher: StepDispatcher) -> None:
        self.dispatcher = dispatcher
        self.made: list[RpcConnection] = []
        self._scheduler = scheduler
        slot: Any = TracedSlot(scheduler, ClientConnection.__dict__["is_retired"], "is_retired")
        self.attempts: list[Attempt] = []
        """All that were sent or refused."""
        parts = {"is_retired": slot, "send": self._send}
        self._kind = type("TracedConnection", (RpcConnection,), parts)

    def make(
        self,
        timeouts: TimeoutQueues,
        owner: ConnectionOwner | None,
        is_for_one_call: bool = False,
    ) -> RpcConnection:
        socket = TracedSocket(self._scheduler, self.dispatcher)
        connection: RpcConnection = self._kind(socket, timeouts, PROTOCOL, owner)
        socket.user = connection
        connection._holds = CountedDict(self._scheduler, "the holds")
        connection._pending = CountedDict(self._scheduler, "the attempts")
        self.made.append(connection)
        return connection

    @property
    def _send(self) -> Callable[[RpcConnection, Attempt], None]:
        def send(connection: RpcConnection, attempt: Attempt) -> None:
            self.attempts.append(attempt)
            RpcConnection.send(connection, attempt)

        return send


class StagedUser:
    """A user of a connection; counts what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.accepted = 0
        self.refused = 0
        self.released = 0
        self.failures = 0

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        self.failures += 1

    def __repr__(self) -> str:
        return self.name


class HoldStage:
    """A source with one established connection that nobody uses, and users that may hold it."""

    def __init__(
        self, scheduler: StepScheduler, kind: Callable[[Any, SourceSettings], SourceBase]
    ) -> None:
        self.scheduler = scheduler
        self.dispatcher = StepDispatcher()
        self.factory = TracedFactory(scheduler, self.dispatcher)
        self.source = kind(self.factory, SourceSettings("pooled", idle_timeout_s=8.0))
        self.source.acquire()
        self.source.call_times.close()  # thousands of sources are not counted
        self.users = {name: StagedUser(name) for name in "abc"}
        self.ends: list[Any] = []
        self.calls: list[Any] = []
        self.source.add_attempt_listener(self.ends.append)
        self.closed_while_held: list[str] = []
        self.shared: list[RpcConnection] = []
        self.is_swept = False
        self._holding: dict[StagedUser, object] = {}
        self._held_at_begin: dict[int, dict[StagedUser, object]] = {}

    @property
    def connection(self) -> Any:
        return self.factory.made[0]

    @property
    def socket(self) -> TracedSocket:
        socket: TracedSocket = self.connection.socket
        return socket

    def establish(self) -> None:
        """Make the connection: a call is in flight on it."""
        self.call()
        self.socket.is_connected = True
        self.socket.on_fail = self._on_fail
        self.connection.on_connected(self.socket)

    # --- what happens, each in a thread ---

    def hold(self, name: str) -> None:
        user = self.users[name]
        try:
            self.connection.hold(user)
        except RpcError:
            user.refused += 1
            return
        user.accepted += 1
        self._holding[user] = object()
        self.scheduler.point(f"{name} holds it")

    def release(self, name: str) -> None:
        """RuntimeError if it is not held, as the connection says."""
        user = self.users[name]
        self._holding.pop(user, None)
        with self._operation():
            self.connection.release_hold(user)
        user.released += 1

    def hold_and_release(self, name: str) -> None:
        self.hold(name)
        if self.users[name].accepted:
            self.release(name)

    def fail(self) -> None:
        self.socket.fail(make_rpc_error(ErrorCode.EEOF, "broken", phase=Phase.WAITING))

    def retire(self) -> None:
        with self._operation():
            self.connection.retire()

    def sweep(self) -> None:
        """Checks of the idle sweep, so late that only holds and calls keep the connection open."""
        self.is_swept = True
        for now in (1000.0, 2000.0, 3000.0):
            with self._operation():
                self.source._idle_sweep._check(now)
            self.scheduler.point("swept")

    def call(self) -> None:
        """Start one more call."""
        self.calls.append(start(self.source, None, max_retry=0))
        for connection in self.factory.made:
            if self.source.wants_idle_events and dict.__len__(connection._pending) > 1:
                self.shared.append(connection)

    def answer(self) -> None:
        """The reader has the responses to all that was sent."""
        for connection in self.factory.made:
            for correlation_id in list(connection._pending):
                connection.on_messages(connection.socket, [RpcResponse(correlation_id)])

    def turns(self) -> None:
        """The thread of the dispatcher."""
        for _ in range(6):
            self.dispatcher.step()
            self.scheduler.point("the turn is over")

    # --- afterwards ---

    def finish(self) -> None:
        """Run what is left, have all users release, and check what must hold in any schedule."""
        self.dispatcher.run_until_idle()
        for user in self.users.values():
            if user in self._holding and self.socket.error is None:
                self.release(user.name)
        self.answer()
        if self.is_swept:
            for now in (4000.0, 5000.0):
                self.source._idle_sweep._check(now)
        self.dispatcher.run_until_idle()
        assert self.dispatcher.raised == []
        assert self.closed_while_held == []
        for user in self.users.values():
            self._check(user)
        assert dict.__len__(self.connection._holds) == 0, "a hold is left"
        if self.connection.is_retired and not self.connection.is_held():
            assert self.socket.error is not None, "retired, unused, and never closed"
        assert self.shared == [], "a connection of the pool for two calls at once"

    def _check(self, user: StagedUser) -> None:
        assert user.failures <= user.accepted, f"{user} heard of a failure, or heard twice"
        if self.socket.error is None:
            assert user.released <= user.accepted, f"{user} released twice"
        assert user.released or user.failures or not user.accepted, f"{user} never heard of it"

    @contextlib.contextmanager
    def _operation(self) -> Iterator[None]:
        """An operation that may close the connection, but not while it is held all the time."""
        self._held_at_begin[self.scheduler.running] = dict(self._holding)
        try:
            yield
        finally:
            del self._held_at_begin[self.scheduler.running]

    def _on_fail(self, error: RpcError) -> None:
        if error.code == ErrorCode.EEOF:
            return
        before = self._held_at_begin.get(self.scheduler.running, {})
        for user, token in before.items():
            if self._holding.get(user) is token:
                self.closed_while_held.append(f"closed while {user} held it")
