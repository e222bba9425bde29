"""Deadlines, resets, cancellations and answers race: each call ends once, and leaves nothing."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcError
from pybrpc.rpc.controller import Controller
from tests.fakes.threads import WAIT_S, in_threads, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.load import share_of
from tests.peers.nested_calls import SERVING
from tests.peers.raw_peer import EchoResponse, RawPeer, request

pytestmark = pytest.mark.stress

ROUNDS = share_of(60)
CLIENTS = 4
EACH = 40


class Nested:
    """The server behind: it answers after a moment, which is about as long as the deadlines."""

    async def __call__(self, request: Any, controller: Controller) -> Any:
        await asyncio.sleep(random.random() * 0.02)
        return EchoResponse(message=request.message)


class Front:
    """Handlers that wait and make nested calls, and count what becomes of them."""

    def __init__(self, address: str) -> None:
        self.channel = pybrpc.Channel(address, timeout=WAIT_S, max_retry=0)
        self.stub = pybrpc.Stub(ECHO, self.channel)
        self.aio_stub = pybrpc.Stub(ECHO, pybrpc.aio.Channel(address, timeout=WAIT_S, max_retry=0))
        self.begun = self.over = 0
        self.cancels: Counter[int] = Counter()
        self.futures: list[Any] = []
        self._lock = threading.Lock()

    def _count(self, begun: int, over: int) -> None:
        with self._lock:
            self.begun += begun
            self.over += over

    async def coroutine(self, request: Any, controller: Controller) -> Any:
        """Swallow some cancellations, so that a second one would show."""
        self._count(1, 0)
        canceled = 0
        try:
            for _ in range(random.randrange(4)):
                try:
                    await self._something()
                except asyncio.CancelledError:
                    canceled += 1
                    if random.random() < 0.5:
                        raise
                except RpcError:
                    continue
        finally:
            self.cancels[canceled] += 1
            self._count(0, 1)
        return EchoResponse(message=request.message)

    async def _something(self) -> None:
        which = random.randrange(4)
        if which == 0:
            self.futures.append(self.stub.Echo.future(echo_request()))
        elif which == 1:
            await asyncio.gather(*[self.aio_stub.Echo(echo_request()) for _ in range(3)])
        elif which == 2:
            await asyncio.sleep(random.random() * 0.02)
        else:
            await self.aio_stub.Echo(echo_request())

    def plain(self, request: Any, controller: Controller) -> Any:
        self._count(1, 0)
        try:
            future = self.stub.Echo.future(echo_request())
            self.futures.append(future)
            if random.random() < 0.2:
                future.cancel()
            if random.random() < 0.5:
                self.stub.Echo(echo_request())
        finally:
            self._count(0, 1)
        return EchoResponse(message=request.message)


def call_and_leave(address: Any) -> None:
    """Calls with short deadlines over one connection, which is then closed in one of three ways."""
    with RawPeer(address) as peer:
        timeouts = [random.choice([None, 1, 5, 10, 20, 1000]) for _ in range(EACH)]
        peer.send(*(request(i, timeout_ms=timeout) for i, timeout in enumerate(timeouts)))
        how = random.randrange(3)
        time.sleep(random.random() * 0.02)
        if how == 0:
            peer.reset()
            return
        if how == 1:
            peer.shut_writing()
        ids = [peer.read_answer().correlation_id for _ in range(EACH)]
        assert sorted(ids) == list(range(EACH)), "an answer twice, or none"


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("place", SERVING)
def test_each_call_ends_once_while_cancels_deadlines_and_answers_race(
    place: str, kind: str
) -> None:
    with SERVING["threads"](Nested()) as behind:
        front = Front(str(behind.endpoint))
        with SERVING[place](getattr(front, kind), max_workers=8) as server, front.channel:
            for _ in range(ROUNDS):
                in_threads(CLIENTS, lambda index: call_and_leave(server.endpoint))
            wait_until(lambda: server.statistics().running == 0)
            wait_until(lambda: server.statistics().connections == 0)
            assert server.unfinished() == []
            wait_until(lambda: all(future.done() for future in list(front.futures)))
            statistics = front.channel.statistics()
            assert statistics is None or statistics.in_flight == 0
        assert front.begun == front.over > 0
        assert set(front.cancels) <= {0, 1}, "a handler was canceled twice"
