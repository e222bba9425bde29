"""Fast handlers run in the thread that read the request; slow ones hold up nobody."""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.service_registry import MIN_FAST_CALLS, SLOW_S
from pybrpc.transport.dispatch import standby
from pybrpc.transport.runtime import default_runtime
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Gate, echo, make_server, serving, start

MANY = 20_000
"""Calls, of which one will run in place."""


@pytest.fixture(autouse=True)
def roused_by_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(standby, "ROUSING_GAP_S", 3600.0)
    monkeypatch.setattr(standby, "CALM_NAPS", 1000)


def is_in_place() -> bool:
    """Whether the calling thread is one of the dispatcher's."""
    dispatcher = default_runtime().dispatcher
    return threading.current_thread() in (dispatcher._thread, dispatcher._relief_thread)


def call_in_place(peer: RawPeer, places: list[bool]) -> None:
    """Call a handler that notes in `places` whether it runs in place, until it does."""
    for _ in range(MANY):
        text_of(peer.call())
        if places[-1]:
            return
    raise AssertionError("no handler ran in place")


class Placed:
    """Echoes, and does `then` in the first call that runs in place after it was set."""

    def __init__(self) -> None:
        self.places: list[bool] = []
        self.then: Any = None

    def __call__(self, request: Any, controller: Controller) -> Any:
        in_place = is_in_place()
        self.places.append(in_place)
        if in_place and self.then is not None:
            then, self.then = self.then, None
            then()
        return echo(request, controller)


def hold_in_place(peer: RawPeer, handler: Placed) -> None:
    """Call `handler` until a call runs in place, and so comes to `then`, which lasts."""
    for _ in range(MANY):
        peer.send(request(1))
        while not select.select([peer.sock], [], [], 0.01)[0]:
            if handler.then is None:
                return
        text_of(peer.read_answer())
    raise AssertionError("no handler ran in place")


def test_fast_handlers_run_where_they_were_read() -> None:
    handler = Placed()
    with serving(handler) as peer:
        call_in_place(peer, handler.places)


def test_a_handler_that_was_slow_runs_in_workers_until_it_was_fast_for_long() -> None:
    handler = Placed()
    with serving(handler) as peer:
        handler.then = lambda: time.sleep(2 * SLOW_S)
        call_in_place(peer, handler.places)
        handler.places.clear()
        call_in_place(peer, handler.places)
        assert len(handler.places) > MIN_FAST_CALLS


def test_a_handler_that_waits_holds_up_nobody() -> None:
    """On its own connection and on others."""
    handler, gate = Placed(), threading.Event()
    with make_server(handler, echo) as server, RawPeer(start(server)) as peer:
        handler.then = lambda: gate.wait(60)
        hold_in_place(peer, handler)
        with RawPeer(server.endpoint) as other:
            for _ in range(100):
                assert text_of(other.call("Stream")) == "hello"
        peer.send(request(2, "Stream"))
        assert peer.read_answer().correlation_id == 2
        gate.set()
        assert text_of(peer.read_answer()) == "hello"


def test_a_handler_that_burns_the_processor_holds_up_nobody() -> None:
    handler, is_over = Placed(), threading.Event()

    def burn() -> None:
        while not is_over.is_set():
            pass

    with make_server(handler, echo) as server, RawPeer(start(server)) as peer:
        handler.then = burn
        hold_in_place(peer, handler)
        with RawPeer(server.endpoint) as other:
            for _ in range(5):
                assert text_of(other.call("Stream")) == "hello"
        is_over.set()
        assert text_of(peer.read_answer()) == "hello"


@pytest.fixture
def backend() -> Iterator[str]:
    with make_server(echo, echo) as server:
        yield str(start(server))


@pytest.mark.parametrize("form", ["blocking", "future"])
@pytest.mark.parametrize("whom", ["another server", "itself"])
def test_handlers_that_call(form: str, whom: str, backend: str) -> None:
    """Their answers come over the dispatcher whose thread they are in."""
    places: list[bool] = []
    stub: Any = None

    def proxy(request: Any, controller: Controller) -> Any:
        places.append(is_in_place())
        if form == "blocking":
            message = stub.Stream(request, timeout=60)
        else:
            message = stub.Stream.future(request, timeout=60).result(60)
        return type(message)(message=message.message)

    with make_server(proxy, echo) as server, RawPeer(start(server)) as peer:
        target = backend if whom == "another server" else str(server.endpoint)
        with pybrpc.Channel(target) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            call_in_place(peer, places)
            for _ in range(300):
                assert text_of(peer.call()) == "hello"


def test_max_workers_counts_who_runs_in_place() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def count(request: Any, controller: Controller) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(random.choice((0, 0, 0.003)))
        with lock:
            running[0] -= 1
        return echo(request, controller)

    with make_server(count, count, max_workers=1) as server, RawPeer(start(server)) as peer:
        for _ in range(60):
            peer.send(*(request(i) for i in range(3)))
            assert len(peer.read_answers(3)) == 3
    assert most == [1]


@pytest.mark.parametrize("grace", [0.0, 3600.0])
def test_stop_while_a_handler_runs_in_place(grace: float) -> None:
    handler, gate = Placed(), Gate()
    with make_server(handler) as server, RawPeer(start(server)) as peer:
        handler.then = lambda: gate(None, Controller())
        hold_in_place(peer, handler)
        server.stop(grace)
        assert server.join(0.05) == (grace == 0)
        gate.open()
        assert server.join(60)


def test_stop_by_a_handler_in_place() -> None:
    handler = Placed()
    with make_server(handler) as server, RawPeer(start(server)) as peer:
        handler.then = lambda: server.stop(3600)
        call_in_place(peer, handler.places)
        assert server.join(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_by_a_handler_in_place() -> None:
    """The child leaves its copy of the dispatcher by itself, as a thread that ends."""
    handler = Placed()
    children: list[int] = []

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            threading.Thread(target=exit_after, args=(threading.current_thread(),)).start()
        else:
            children.append(pid)

    def exit_after(forked: threading.Thread) -> None:
        forked.join(20)
        os._exit(forked.is_alive())

    with serving(handler) as peer:
        handler.then = fork
        call_in_place(peer, handler.places)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0]


@pytest.mark.parametrize("seed", range(3))
def test_random_mixtures(seed: int) -> None:
    """Every request gets its answer, also when the server stops in the midst of them."""
    choose = random.Random(seed)
    stub: Any = None

    def mixed(request: Any, controller: Controller) -> Any:
        kind = choose.randrange(100)
        if kind < 3:
            time.sleep(0.003)
        elif kind < 5:
            end = time.monotonic() + 0.003
            while time.monotonic() < end:
                pass
        elif kind < 8:
            stub.Stream(echo_request("nested"), timeout=60)
        return echo(request, controller)

    def call(address: str) -> None:
        with pybrpc.Channel(address, connection_type="short" if seed == 2 else "single") as channel:
            own = pybrpc.Stub(ECHO, channel)
            for number in range(150):
                assert own.Echo(echo_request(f"{number}"), timeout=60).message == f"{number}"

    with make_server(mixed, echo) as server:
        address = str(start(server))
        with pybrpc.Channel(address) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            threads = [threading.Thread(target=call, args=(address,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert server.statistics().requests >= 600
        server.stop(3600)
        assert server.join(60)
        assert not server.unfinished()
