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
from pybrpc.server.calls.method_entry import MIN_FAST_CALLS, SLOW_S
from pybrpc.transport.dispatch import standby
from pybrpc.transport.runtime import default_runtime
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Gate, echo, make_server, serving, start

MANY = 20_000
"""Calls, of which one will run inline."""


@pytest.fixture(autouse=True)
def woken_by_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(standby, "WAKE_GAP_S", 3600.0)
    monkeypatch.setattr(standby, "IDLE_WAITS", 1000)


def runs_inline() -> bool:
    """Whether the calling thread is one of the dispatcher's."""
    dispatcher = default_runtime().dispatcher
    return threading.current_thread() in (dispatcher._thread, dispatcher._inline.standby_thread)


def call_inline(peer: RawPeer, inline_calls: list[bool]) -> None:
    """Call a handler that notes in `inline_calls` whether it runs inline, until it does."""
    for _ in range(MANY):
        text_of(peer.call())
        if inline_calls[-1]:
            return
    raise AssertionError("no handler ran inline")


class NotesInline:
    """Echoes, and does `then` in the first call that runs inline after it was set."""

    def __init__(self) -> None:
        self.inline_calls: list[bool] = []
        self.then: Any = None

    def __call__(self, request: Any, controller: Controller) -> Any:
        is_inline = runs_inline()
        self.inline_calls.append(is_inline)
        if is_inline and self.then is not None:
            then, self.then = self.then, None
            then()
        return echo(request, controller)


def hold_inline(peer: RawPeer, handler: NotesInline) -> None:
    """Call `handler` until a call runs inline, and so comes to `then`, which lasts."""
    for _ in range(MANY):
        peer.send(request(1))
        while not select.select([peer.sock], [], [], 0.01)[0]:
            if handler.then is None:
                return
        text_of(peer.read_answer())
    raise AssertionError("no handler ran inline")


def test_fast_handler_runs_inline() -> None:
    handler = NotesInline()
    with serving(handler) as peer:
        call_inline(peer, handler.inline_calls)


def test_a_handler_that_was_slow_runs_in_workers_until_it_was_fast_for_long() -> None:
    handler = NotesInline()
    with serving(handler) as peer:
        handler.then = lambda: time.sleep(2 * SLOW_S)
        call_inline(peer, handler.inline_calls)
        handler.inline_calls.clear()
        call_inline(peer, handler.inline_calls)
        assert len(handler.inline_calls) > MIN_FAST_CALLS


def test_handler_that_waits_delays_no_other() -> None:
    """On its own connection and on others."""
    handler, gate = NotesInline(), threading.Event()
    with make_server(handler, echo) as server, RawPeer(start(server)) as peer:
        handler.then = lambda: gate.wait(60)
        hold_inline(peer, handler)
        with RawPeer(server.endpoint) as other:
            for _ in range(100):
                assert text_of(other.call("Stream")) == "hello"
        peer.send(request(2, "Stream"))
        assert peer.read_answer().correlation_id == 2
        gate.set()
        assert text_of(peer.read_answer()) == "hello"


def test_handler_that_burns_the_processor_delays_no_other() -> None:
    handler, is_over = NotesInline(), threading.Event()

    def burn() -> None:
        while not is_over.is_set():
            pass

    with make_server(handler, echo) as server, RawPeer(start(server)) as peer:
        handler.then = burn
        hold_inline(peer, handler)
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
    inline_calls: list[bool] = []
    stub: Any = None

    def proxy(request: Any, controller: Controller) -> Any:
        inline_calls.append(runs_inline())
        if form == "blocking":
            message = stub.Stream(request, timeout=60)
        else:
            message = stub.Stream.future(request, timeout=60).result(60)
        return type(message)(message=message.message)

    with make_server(proxy, echo) as server, RawPeer(start(server)) as peer:
        target = backend if whom == "another server" else str(server.endpoint)
        with pybrpc.Channel(target) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            call_inline(peer, inline_calls)
            for _ in range(300):
                assert text_of(peer.call()) == "hello"


def test_max_workers_counts_a_handler_that_runs_inline() -> None:
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
def test_stop_while_a_handler_runs_inline(grace: float) -> None:
    handler, gate = NotesInline(), Gate()
    with make_server(handler) as server, RawPeer(start(server)) as peer:
        handler.then = lambda: gate(None, Controller())
        hold_inline(peer, handler)
        server.stop(grace)
        assert server.join(0.05) == (grace == 0)
        gate.open()
        assert server.join(60)


def test_stop_by_a_handler_that_runs_inline() -> None:
    handler = NotesInline()
    with make_server(handler) as server, RawPeer(start(server)) as peer:
        handler.then = lambda: server.stop(3600)
        call_inline(peer, handler.inline_calls)
        assert server.join(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_by_a_handler_that_runs_inline() -> None:
    """The child leaves its copy of the dispatcher by itself, as a thread that ends."""
    handler = NotesInline()
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
        call_inline(peer, handler.inline_calls)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0]


@pytest.mark.parametrize("seed", range(3))
def test_random_mixtures_of_fast_and_slow_handlers_are_answered(seed: int) -> None:
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
