"""Idle connections: closed by either side, and never in the way of a call."""

from __future__ import annotations

import asyncio
import functools
import random
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, LOOPS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import make_server

TYPES = ("single", "pooled", "short", "auto")
IDLE_S = 0.02
CALLS = 25
THREADS = 12
TASKS = 24

every_form = pytest.mark.parametrize("form", FORMS)
every_type = pytest.mark.parametrize("connection_type", TYPES)
lasting_type = pytest.mark.parametrize("connection_type", ["single", "pooled", "auto"])


def let_time_pass(client: Any, until: Callable[[], bool]) -> None:
    """Wait, and let the loop of a client that has one run meanwhile."""
    if not hasattr(client, "run"):
        wait_until(until)
        return

    async def wait() -> None:
        while not until():
            await asyncio.sleep(0.001)

    client.run(wait())


def has_closed(client: Any, count: int) -> bool:
    return bool(client.channel.endpoint_statistics().closed >= count)


# --- closed by the server ---


def echo_while_busy(peer: Peer) -> None:
    """Echo; close in one way or another when no request has come for a moment."""
    peer.answer(peer.expect_request())
    while True:
        peer.sock.settimeout(random.random() * IDLE_S)
        try:
            request = peer.read_request()
        except TimeoutError:
            break
        if request is None:
            return
        peer.sock.settimeout(None)
        peer.answer(request)
    if random.random() < 0.5:
        peer.reset()


class Callers:
    """Threads and tasks with a connection each, that call, and pause as long as a server waits."""

    def __init__(self, address: str, **options: Any) -> None:
        self.answered = 0
        self.created = 0
        self.errors: list[BaseException] = []
        self._address = address
        self._options = {"timeout": 60, "connect_timeout": 30, **options}
        self._lock = threading.Lock()
        threads = [threading.Thread(target=self._call, args=(i,)) for i in range(THREADS)]
        threads += [threading.Thread(target=self._run_loop, args=(loop,)) for loop in LOOPS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call(self, number: int) -> None:
        group = str(number)
        with pybrpc.Channel(self._address, connection_group=group, **self._options) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for i in range(CALLS):
                try:
                    assert stub.Echo(echo_request(str(i))).message == str(i)
                    self._note(1, 0)
                except BaseException as error:
                    self.errors.append(error)
                threading.Event().wait(random.random() * 2 * IDLE_S)
            self._note_end(channel)

    def _run_loop(self, loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(self._call_in_tasks())

    async def _call_in_tasks(self) -> None:
        await asyncio.gather(*(self._call_in_task(number) for number in range(TASKS)))

    async def _call_in_task(self, number: int) -> None:
        async with pybrpc.aio.Channel(
            self._address,
            connection_group=f"task {number}",
            share_with_threads=number % 3 == 0,
            **self._options,
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for i in range(CALLS):
                try:
                    assert (await stub.Echo(echo_request(str(i)))).message == str(i)
                    self._note(1, 0)
                except BaseException as error:
                    self.errors.append(error)
                await asyncio.sleep(random.random() * 2 * IDLE_S)
            self._note_end(channel)

    def _note_end(self, channel: Any) -> None:
        self._note(0, channel.endpoint_statistics().created)

    def _note(self, answered: int, created: int) -> None:
        with self._lock:
            self.answered += answered
            self.created += created


def check(callers: Callers) -> None:
    each = THREADS + len(LOOPS) * TASKS
    assert [str(error) for error in callers.errors] == []
    assert callers.answered == each * CALLS
    assert callers.created > 3 * each, "connections were closed, and many a time"


@every_type
def test_server_that_closes_idle_connections_is_noticed_by_nobody(connection_type: str) -> None:
    """brpc#2384."""
    with make_server(idle_timeout=IDLE_S) as server:
        address = str(server.start("127.0.0.1:0"))
        check(Callers(address, connection_type=connection_type))
        assert server.statistics().requests == (THREADS + len(LOOPS) * TASKS) * CALLS


@lasting_type
def test_peer_that_drops_idle_connections_is_noticed_by_nobody(connection_type: str) -> None:
    """With FIN or RST, and without looking whether a request is just coming."""
    with ScriptedServer(echo_while_busy) as server:
        check(Callers(server.address, connection_type=connection_type))


@lasting_type
def test_client_that_closes_idle_connections_notices_nothing(connection_type: str) -> None:
    with make_server() as server:
        address = str(server.start("127.0.0.1:0"))
        check(Callers(address, connection_type=connection_type, idle_timeout=IDLE_S / 2))
        assert server.statistics().requests == (THREADS + len(LOOPS) * TASKS) * CALLS


# --- closed by the client ---


@every_form
@lasting_type
def test_idle_connections_are_closed(form: str, connection_type: str) -> None:
    """bRPC: idle_timeout of the socket map."""
    ended: list[bool] = []

    def echo_to_the_end(peer: Peer) -> None:
        peer.echo_until_closed()
        ended.append(peer.sock.recv(1, socket.MSG_DONTWAIT) == b"")

    options: dict[str, Any] = {"connection_type": connection_type, "idle_timeout": IDLE_S}
    with ScriptedServer(echo_to_the_end) as server:
        with caller(form, server.address, **options) as client:
            for number in range(1, 4):
                assert client.call(echo_request("x")).message == "x"
                let_time_pass(client, functools.partial(has_closed, client, number))
                found = client.channel.endpoint_statistics()
                assert (found.created, found.idle, found.in_use) == (number, 0, 0)
    assert ended == [True] * 3, "with FIN, not RST"


@every_form
@every_type
def test_call_that_takes_longer_than_the_idle_timeout(form: str, connection_type: str) -> None:
    def answer_late(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            threading.Event().wait(10 * IDLE_S)
            peer.answer(request)

    options: dict[str, Any] = {"connection_type": connection_type, "idle_timeout": IDLE_S}
    controller = pybrpc.Controller()
    with ScriptedServer(answer_late) as server:
        with caller(form, server.address, **options) as client:
            assert client.call(echo_request("late"), controller=controller).message == "late"
            assert controller.retried_count == 0
    assert server.connections == 1


def test_connections_of_a_burst_are_closed_when_idle() -> None:
    with make_server() as server:
        address = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(
            address, timeout=30, connection_type="pooled", idle_timeout=IDLE_S
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for future in [stub.Echo.future(echo_request()) for _ in range(50)]:
                future.result()
            wait_until(lambda: server.statistics().connections == 0)
            assert stub.Echo(echo_request("again")).message == "again"
