"""RunningServer: the calls of a failed connection end in parts, and all of them."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.lifecycle.hooks import LifecycleHooks
from pybrpc.server.lifecycle.running_server import MAX_ENDS, RunningServer
from pybrpc.server.settings import ServerSettings
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.runtime import Runtime
from tests.peers.raw_peer import SERVICE
from tests.peers.serving import EchoService

pytestmark = pytest.mark.python_only

COUNT = 3 * MAX_ENDS + 7


class FakeConnection:
    """A failed connection whose calls all wait for a worker."""

    async_calls = None

    def __init__(self) -> None:
        self.plain_calls = CallQueue()
        self.calls: set[Any] = set()
        self.ended: list[int] = []

    def end(self, calls: list[Any], data: object = None) -> None:
        self.ended.append(len(calls))


@pytest.mark.parametrize("is_closed", [False, True])
def test_calls_that_wait_end_in_parts(is_closed: bool) -> None:
    registry, dispatcher, runtime = ServiceRegistry(), StepDispatcher(), Runtime()
    registry.add(SERVICE, EchoService())
    settings, hooks = ServerSettings(), LifecycleHooks()
    server = RunningServer(registry, settings, hooks, dispatcher, runtime, None)
    try:
        connection: Any = FakeConnection()
        server.pool.scheduler.put(connection.plain_calls, [object() for _ in range(COUNT)])
        if is_closed:
            dispatcher.close()
        server._end_waiting(connection)
        ends = [MAX_ENDS, MAX_ENDS, MAX_ENDS, 7]
        if not is_closed:
            assert connection.ended == ends[:1]
            dispatcher.run_until_idle()
        assert connection.ended == ends
        assert server.pool.scheduler.waiting() == 0
    finally:
        server.pool.close()
        runtime.close()
