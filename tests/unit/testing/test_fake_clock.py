"""fake_clock: real channels and servers, whose time the test makes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.base import waiting
from pybrpc.client.cluster.breaking import server_states
from pybrpc.errors import ConnectError, RpcTimeoutError
from pybrpc.testing import FakeService, ScriptedPeer, aio, channel_for, fake_clock
from pybrpc.testing.fake_clock import ProcessClock
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.loops import LOOPS
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse
from tests.peers.scripted_server import ScriptedServer, echo

HELLO = EchoRequest(message="hello")
HI = EchoResponse(message="hi")


def until(condition: Callable[[], object], clock: ProcessClock, seconds: float) -> None:
    """Let the clock go on in such steps until `condition` holds."""
    ends_at = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends_at
        clock.advance(seconds)
        time.sleep(0.001)


@pytest.fixture
def fake() -> FakeService:
    fake = FakeService(SERVICE)
    fake.Echo.never_answers()
    return fake


def outcomes_of_blocking(call: Callable[[], Any], count: int) -> tuple[list[Any], list[Any]]:
    """Threads that block in `call`, and the list of what their calls end with."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call().message)
        except pybrpc.RpcError as error:
            found.append(type(error))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


@pytest.mark.parametrize("kind", ["single", "pooled", "short", "auto"])
def test_deadline_of_blocking_calls_and_futures_comes_with_the_clock(
    fake: FakeService, kind: Any
) -> None:
    with fake_clock() as clock:
        with channel_for(fake, timeout=30, connection_type=kind) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            future = stub.Echo.future(HELLO)
            threads, found = outcomes_of_blocking(lambda: stub.Echo(HELLO), 3)
            wait_until(lambda: fake.Echo.calls == 4)
            clock.advance(29.999)
            assert (found, future.done()) == ([], False)
            clock.advance(0.001)
            assert isinstance(future.exception(WAIT_S), RpcTimeoutError)
            for thread in threads:
                thread.join(WAIT_S)
            assert found == [RpcTimeoutError] * 3


def test_real_time_does_not_end_a_call(fake: FakeService) -> None:
    with fake_clock() as clock, channel_for(fake, timeout=0.02) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        future = stub.Echo.future(HELLO)
        threads, found = outcomes_of_blocking(lambda: stub.Echo(HELLO), 1)
        wait_until(lambda: fake.Echo.calls == 2)
        time.sleep(0.2)  # ten times the timeout
        assert (found, future.done()) == ([], False)
        clock.advance(0.02)
        threads[0].join(WAIT_S)
        assert found == [RpcTimeoutError]


@pytest.mark.parametrize("loop", LOOPS)
def test_deadline_of_awaited_calls_comes_with_the_clock(fake: FakeService, loop: str) -> None:
    async def check() -> None:
        with fake_clock() as clock:
            async with aio.channel_for(fake, timeout=0.02) as channel:
                call = pybrpc.Stub(SERVICE, channel).Echo(HELLO)
                await asyncio.sleep(0.2)
                assert not call.done()
                clock.advance(0.02)
                with pytest.raises(RpcTimeoutError):
                    await call

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(check())


def test_pause_before_a_retry_is_made_of_fake_time() -> None:
    backoff = pybrpc.Backoff(first_s=10, max_s=10, jitter=0)
    policy = pybrpc.RetryPolicy(backoff=backoff)
    with (
        ScriptedServer(ScriptedPeer.close, echo) as server,
        fake_clock() as clock,
        pybrpc.Channel(server.address, retry_policy=policy, timeout=60) as channel,
    ):
        future = pybrpc.Stub(SERVICE, channel).Echo.future(HELLO)
        wait_until(lambda: server.connections == 1 and not channel.statistics().in_flight)
        clock.advance(9.9)
        assert not future.done()
        until(future.done, clock, 0.1)
        assert future.result().message == "hello"


def test_backup_request_is_sent_at_its_time(fake: FakeService) -> None:
    fake.Echo.answers_in_turn([HI]).never_answers()
    with fake_clock() as clock:
        with channel_for(fake, timeout=60, backup_request_ms=5000) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            assert stub.Echo(HELLO).message == "hi"
            future = stub.Echo.future(HELLO)
            wait_until(lambda: fake.Echo.calls == 2)
            clock.advance(4.9)
            assert fake.Echo.calls == 2
            fake.Echo.answers(HI)
            clock.advance(0.1)
            assert future.result(WAIT_S).message == "hi"
            assert fake.Echo.calls == 3


def test_endpoint_that_was_down_is_dialled_again_in_fake_time(fake: FakeService) -> None:
    fake.Echo.answers(HI)
    where = pybrpc.Endpoint.in_memory("dialled-again")
    dial_backoff = pybrpc.Backoff(first_s=20, max_s=20, jitter=0)
    with fake_clock() as clock, pybrpc.Server() as server:
        server.add_service(SERVICE, fake)
        with pybrpc.Channel(where, dial_backoff=dial_backoff, max_retry=0, timeout=None) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            for _ in range(2):
                with pytest.raises(ConnectError):
                    stub.Echo(HELLO)
            server.start(where)
            clock.advance(19)
            with pytest.raises(ConnectError, match="next dial in 1"):
                stub.Echo(HELLO)
            clock.advance(1)
            channel.wait_ready(WAIT_S)
            assert stub.Echo(HELLO).message == "hi"


def test_circuit_breaker_lets_a_server_back_in_fake_time() -> None:
    fakes = [FakeService(SERVICE) for _ in range(2)]
    fakes[0].Echo.answers(pybrpc.RpcError("bad", code=pybrpc.ErrorCode.EINTERNAL))
    fakes[1].Echo.answers(HI)
    assert server_states  # loaded before the clock is replaced
    with fake_clock() as clock:
        servers = [pybrpc.Server() for _ in fakes]
        for server, fake in zip(servers, fakes, strict=True):
            server.add_service(SERVICE, fake)
        where = [server.start("memory:") for server in servers]
        with pybrpc.Channel(where, load_balancer="rr", timeout=None) as channel:
            stub = pybrpc.Stub(SERVICE, channel)

            def call() -> None:
                controller = pybrpc.Controller()
                stub.Echo.future(HELLO, controller=controller).exception(WAIT_S)

            def is_out() -> bool:
                call()
                return any(status.state == "ejected" for status in channel.servers())

            until(is_out, clock, 0.0)
            calls = fakes[0].Echo.calls
            for _ in range(10):
                call()
            assert fakes[0].Echo.calls == calls
            fakes[0].Echo.answers(HI)

            def is_called_again() -> bool:
                call()
                return fakes[0].Echo.calls > calls

            until(is_called_again, clock, 5.0)
        for server in servers:
            server.stop(0)
            server.join()


def test_idle_connection_is_closed_in_fake_time(fake: FakeService) -> None:
    fake.Echo.answers(HI)
    with fake_clock() as clock, channel_for(fake, idle_timeout=600) as channel:
        pybrpc.Stub(SERVICE, channel).Echo(HELLO)

        def connections() -> int:
            found = channel.endpoint_statistics()
            assert found is not None
            return found.created - found.closed

        assert connections() == 1
        clock.advance(500, steps=10)
        assert connections() == 1
        until(lambda: connections() == 0, clock, 100)


def test_steps_let_a_row_of_timers_run() -> None:
    ran: list[float] = []
    with fake_clock() as clock:
        dispatcher = default_runtime().dispatcher
        began = clock.monotonic()

        def again() -> None:
            ran.append(round(clock.monotonic() - began, 6))
            dispatcher.call_at(clock.monotonic() + 1, again)

        dispatcher.call_at(began + 1, again)
        clock.advance(3)
        assert ran == [3]
        clock.advance(3, steps=3)
        assert ran == [3, 4, 5, 6]


def test_advance_in_a_turn_and_on_a_closed_dispatcher_does_not_wait() -> None:
    with fake_clock() as clock:
        ran = threading.Event()

        def in_turn() -> None:
            clock.advance(1)
            ran.set()

        default_runtime().dispatcher.post(in_turn)
        assert ran.wait(WAIT_S)
        default_runtime().close()
        clock.advance(1)


def test_all_is_as_before_at_the_end() -> None:
    runtime = default_runtime()
    before = waiting.MAIN_THREAD_WAIT_S
    clocked = [
        name
        for name, module in sys.modules.items()
        if name.startswith("pybrpc.") and getattr(module, "time", None) is time
    ]
    with fake_clock() as clock:
        assert default_runtime() is not runtime
        assert clock.monotonic() - time.monotonic() <= 1
    with pytest.raises(KeyError), fake_clock():
        raise KeyError
    assert default_runtime() is runtime
    assert before == waiting.MAIN_THREAD_WAIT_S
    assert all(sys.modules[name].time is time for name in clocked)
    with fake_clock():
        pass  # it may be used again


LATE = """
import contextlib, importlib, pkgutil, sys, time
import pybrpc
from pybrpc.testing import FakeService, channel_for, fake_clock
from pybrpc.testing.fake_clock import _REAL
from tests.peers.raw_peer import SERVICE, EchoRequest

fake = FakeService(SERVICE)
fake.Echo.never_answers()
for kind in ("ParallelChannel", "SelectiveChannel"):
    with fake_clock() as clock, channel_for(fake, timeout=30) as inner:
        clock.advance(100)
        channel = getattr(pybrpc, kind)(timeout=30)
        channel.add_channel(inner)
        future = pybrpc.Stub(SERVICE, channel).Echo.future(EchoRequest(message="hello"))
        clock.advance(29)
        print(kind, future.done())
        clock.advance(2)
        print(type(future.exception(60)).__name__)
        channel.close()
    fake.reset()
    fake.Echo.never_answers()

with fake_clock():
    for found in pkgutil.walk_packages(pybrpc.__path__, "pybrpc."):
        if not found.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(found.name)
    for name, module in sorted(sys.modules.items()):
        if name.startswith("pybrpc.") and not name.startswith(_REAL):
            for value in vars(module).values():
                if value is time or value is time.monotonic:
                    print("the real clock is in", name)
"""


def test_modules_that_are_imported_inside_find_the_clock() -> None:
    run = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, timeout=20 * WAIT_S
    )
    assert (run.stdout.split("\n"), run.returncode) == (
        [
            "ParallelChannel False",
            "RpcTimeoutError",
            "SelectiveChannel False",
            "RpcTimeoutError",
            "",
        ],
        0,
    ), run.stderr


def test_wrong_use_is_told() -> None:
    with fake_clock() as clock:
        with pytest.raises(RuntimeError, match="used already"), fake_clock():
            pass
        for seconds in (-1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="moves forward"):
                clock.advance(seconds)
        with pytest.raises(ValueError, match="steps"):
            clock.advance(1, steps=0)


@pytest.mark.parametrize(("seconds", "steps"), [("1", 1), (None, 1), (1, 1.5), (1, "2")])
def test_clock_moves_by_numbers(seconds: Any, steps: Any) -> None:
    with fake_clock() as clock, pytest.raises(TypeError, match=r"number"):
        clock.advance(seconds, steps=steps)


def test_clock_that_nobody_advances_says_so_once(
    fake: FakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = sys.modules[ProcessClock.__module__]
    monkeypatch.setattr(module, "STILL_S", 0.05)
    with fake_clock() as clock, channel_for(fake, timeout=30) as channel:
        threads, found = outcomes_of_blocking(lambda: pybrpc.Stub(SERVICE, channel).Echo(HELLO), 2)
        wait_until(lambda: "has stood still for 0.05 seconds" in caplog.text)
        until(lambda: len(found) == 2, clock, 31)
        for thread in threads:
            thread.join()
    assert [each.getMessage()[:14] for each in caplog.records].count("the fake clock") == 1
