"""The pool of connection_type "pooled": its cap, its queue, and all that frees a connection."""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    Phase,
    RpcTimeoutError,
)
from tests.fakes.threads import in_threads, wait_until
from tests.peers.alarms import raising_alarms, storm
from tests.peers.callers import FORMS, LOOPS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import counts
from tests.peers.scripted_server import (
    Peer,
    ScriptedServer,
    never_answer,
)

every_form = pytest.mark.parametrize("form", FORMS)
every_loop = pytest.mark.parametrize("loop", LOOPS)


class Gate:
    """The script of a server whose answers wait until it is opened; counts what waits."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.waiting = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            with self._lock:
                self.waiting += 1
                self.most = max(self.most, self.waiting)
            self.is_open.wait()
            with self._lock:
                self.waiting -= 1
            peer.answer(request)


@every_form
def test_pool_has_a_real_cap_and_calls_beyond_it_wait(form: str) -> None:
    """brpc#89, #433: no more connections than max_pool_size exist, however many calls there are."""
    gate = Gate()
    with ScriptedServer(gate) as server:
        options: dict[str, Any] = {"connection_type": "pooled", "max_pool_size": 3}
        with caller(form, server.address, **options) as client:
            opener = threading.Thread(target=open_when, args=(gate, 3))
            opener.start()
            if form in ("blocking", "callback"):
                in_threads(20, lambda i: client.call(echo_request(str(i))))
            else:
                client.call_many([echo_request(str(i)) for i in range(20)])
            opener.join()
            found = counts(client.channel)
            assert (found.created, found.closed, found.waiting) == (3, 0, 0)
    assert gate.most == 3
    assert server.connections == 3


def open_when(gate: Gate, waiting: int) -> None:
    wait_until(lambda: gate.waiting == waiting)
    gate.is_open.set()


def test_pool_serves_calls_in_the_order_they_came() -> None:
    gate = Gate()
    ends: queue.SimpleQueue[str] = queue.SimpleQueue()
    with ScriptedServer(gate) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=1
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for i in range(50):
                stub.Echo.with_callback(
                    echo_request(str(i)), lambda response, error: ends.put(response.message)
                )
            assert counts(channel).waiting == 49
            gate.is_open.set()
            assert [ends.get(timeout=30) for _ in range(50)] == [str(i) for i in range(50)]
    assert server.connections == 1


@pytest.mark.parametrize("form", [form for form in FORMS if form not in LOOPS])
def test_deadline_and_cancel_find_a_call_that_waits_for_a_connection(form: str) -> None:
    gate = Gate()
    with ScriptedServer(gate) as server:
        options: dict[str, Any] = {"connection_type": "pooled", "max_pool_size": 1}
        with pybrpc.Channel(server.address, timeout=30, **options) as holder:
            held = pybrpc.Stub(ECHO, holder).Echo.future(echo_request("held"))
            wait_until(lambda: gate.waiting == 1)
            with caller(form, server.address, **options) as client:
                for _ in range(3):
                    with pytest.raises(RpcTimeoutError) as caught:
                        client.call(echo_request(), timeout=0.02)
                    assert caught.value.phase == Phase.QUEUED
                assert counts(client.channel).waiting == 0
            waiting = pybrpc.Stub(ECHO, holder).Echo.future(echo_request())
            wait_until(lambda: counts(holder).waiting == 1)
            assert waiting.cancel()
            assert counts(holder).waiting == 0
            gate.is_open.set()
            assert held.result().message == "held"
    assert len(server.requests) == 1, "what waited was never sent"


@every_loop
def test_cancelled_task_leaves_the_queue_of_the_pool(loop: str) -> None:
    gate = Gate()

    async def main(address: str) -> None:
        async with pybrpc.aio.Channel(
            address, timeout=30, connection_type="pooled", max_pool_size=1
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            held = stub.Echo(echo_request("held"))
            waiting = [stub.Echo(echo_request(str(i))) for i in range(100)]
            assert counts(channel).waiting == 100
            for future in waiting[::2]:
                future.cancel()
            assert counts(channel).waiting == 50
            gate.is_open.set()
            assert (await held).message == "held"
            answers = await asyncio.gather(*waiting[1::2])
            assert [answer.message for answer in answers] == [str(i) for i in range(1, 100, 2)]

    with ScriptedServer(gate) as server:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main(server.address))
    assert len(server.requests) == 51


def test_connection_with_an_outstanding_answer_is_not_used_again() -> None:
    """A call that timed out leaves a connection on which its answer may still come."""
    is_late = threading.Event()

    def answer_late(peer: Peer) -> None:
        request = peer.expect_request()
        is_late.wait()
        peer.answer(request)
        peer.wait_closed()

    with ScriptedServer(answer_late, Peer.echo_until_closed) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=1
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            with pytest.raises(RpcTimeoutError):
                stub.Echo(echo_request("first"), timeout=0.05)
            is_late.set()
            assert stub.Echo(echo_request("second")).message == "second"
            found = counts(channel)
            assert (found.created, found.closed, found.idle) == (2, 1, 1)
    assert server.connections == 2


def test_timed_out_call_frees_the_pool_for_the_next_one() -> None:
    with ScriptedServer(never_answer) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=2
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request(), timeout=0.05) for _ in range(10)]
            for future in futures:
                with pytest.raises(RpcTimeoutError):
                    future.result()
            wait_until(lambda: counts(channel).in_use == 0)
            found = counts(channel)
            assert found.waiting == 0
            assert found.created - found.closed <= 2


def test_connection_used_last_is_used_first() -> None:
    gate = Gate()
    with ScriptedServer(gate) as server:
        with pybrpc.Channel(server.address, timeout=30, connection_type="pooled") as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request()) for _ in range(5)]
            open_when(gate, 5)
            for future in futures:
                future.result()
            before = [len(peer.received) for peer in server.peers]
            for _ in range(20):
                stub.Echo(echo_request())
            after = [len(peer.received) for peer in server.peers]
            assert counts(channel).idle == 5
    used = [b != a for b, a in zip(before, after, strict=True)]
    assert used.count(True) == 1


def test_closing_the_channel_tells_those_who_wait_for_a_connection() -> None:
    with ScriptedServer(never_answer) as server:
        channel = pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=1
        )
        stub = pybrpc.Stub(ECHO, channel)
        futures = [stub.Echo.future(echo_request()) for _ in range(20)]
        channel.close()
        for future in futures:
            with pytest.raises(ConnectionFailedError) as caught:
                future.result()
            assert caught.value.code == ErrorCode.ECLOSE
    assert server.connections <= 1


def test_threads_that_fight_for_few_connections_never_lose_a_wake_up() -> None:
    """Answers, timeouts and broken connections free the pool in every way there is."""

    def erratic(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            number = int(bytes(request.attachment) or b"0")
            if number % 11 == 0:
                return
            if number % 7:
                peer.answer(request)

    ends = {"answered": 0, "timed out": 0, "broken": 0}
    lock = threading.Lock()

    def work(index: int) -> None:
        for i in range(60):
            controller = pybrpc.Controller()
            number = index * 60 + i
            controller.request_attachment.append(str(number).encode())
            timeout = 10 if number % 7 else 0.02
            try:
                stub.Echo(echo_request(str(i)), timeout=timeout, controller=controller)
                end = "answered"
            except RpcTimeoutError:
                end = "timed out"
            except ConnectionFailedError:
                end = "broken"
            with lock:
                ends[end] += 1

    with ScriptedServer(erratic) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=3, max_retry=0
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            in_threads(12, work)
            assert sum(ends.values()) == 12 * 60
            assert ends["answered"] > 0
            assert ends["broken"] > 0
            found = counts(channel)
            assert (found.in_use, found.waiting) == (0, 0)
            assert found.created - found.closed <= 3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no setitimer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_pool_loses_nothing_to_signal_handlers_that_raise() -> None:
    with raising_alarms(), ScriptedServer() as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=2
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            # A signal inside of Thread.start leaves the thread in threading's own books.
            stub.Echo(echo_request("starts the dispatcher's thread"))
            storm(lambda: stub.Echo(echo_request("x"), timeout=10), strokes=600)
            futures = [stub.Echo.future(echo_request(str(i))) for i in range(2)]
            assert [future.result().message for future in futures] == ["0", "1"]
            found = counts(channel)
            assert (found.in_use, found.waiting) == (0, 0)
            assert found.created - found.closed <= 2
