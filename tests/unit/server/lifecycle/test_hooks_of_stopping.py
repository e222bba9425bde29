"""The functions of on_stopping: when and where they are called, and how long a stop waits."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ServerStateError
from pybrpc.transport.runtime import Runtime
from tests.fakes.server_hooks import ANYWHERE, AsyncService, Log, Service, stop, value
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.supervised import call

WAIT_S = 30


def test_functions_are_called_once_in_order_before_those_of_the_end(
    server: pybrpc.Server, log: Log
) -> None:
    server.on_stopping(log.plain("first"))
    server.on_stopping(log.awaited("second"))
    server.on_stopping(log.plain("third"))
    server.on_shutdown(log.plain("end"))
    for _ in range(2):
        log.entries.clear()
        call(server.start(ANYWHERE))
        server.stop()
        stop(server)
        stop(server)
        assert log.entries == ["handler", "first", "second", "third", "end"]


def test_functions_run_in_a_thread_of_their_own_and_in_the_loop_of_handlers(
    server: pybrpc.Server, log: Log
) -> None:
    server.on_stopping(log.plain("plain"))
    server.on_stopping(log.awaited("async"))
    call(server.start(ANYWHERE))
    stop(server)
    assert log.threads["async"] is log.threads["handler"]
    assert log.threads["plain"] not in (log.threads["handler"], threading.current_thread())


def test_server_of_plain_handlers_has_a_loop_for_async_functions(log: Log) -> None:
    server = pybrpc.Server()
    server.add_service(ECHO, Service(log))
    server.on_stopping(log.awaited("async"))
    server.start(ANYWHERE)
    stop(server)
    assert log.entries == ["async"]


def test_functions_see_what_the_start_has_set_in_context_variables(server: pybrpc.Server) -> None:
    seen: list[str] = []
    server.on_startup(lambda: value.set("set"))
    server.on_stopping(lambda: seen.append(value.get()))
    server.on_shutdown(lambda: seen.append(value.get()))
    server.start(ANYWHERE)
    stop(server)
    assert seen == ["set", "set"]


def test_functions_are_called_when_requests_are_refused_already(server: pybrpc.Server) -> None:
    seen: list[Any] = []

    @server.on_stopping
    def ask() -> None:
        seen.append(server.is_stopping)
        with pybrpc.Channel(address, timeout=WAIT_S, max_retry=0) as channel:
            try:
                seen.append(pybrpc.Stub(ECHO, channel).Echo(echo_request("late")).message)
            except pybrpc.RpcError as error:
                seen.append(type(error).__name__)

    address = str(server.start(ANYWHERE))
    stop(server)
    assert seen == [True, "ConnectError"]


@pytest.mark.parametrize("kind", [ValueError, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_function_raises_is_logged_and_hinders_nothing(
    server: pybrpc.Server,
    log: Log,
    caplog: pytest.LogCaptureFixture,
    kind: type[BaseException],
    is_async: bool,
) -> None:
    def fail() -> None:
        raise kind("no")

    async def fail_in_loop() -> None:
        raise kind("no")

    server.on_stopping(fail_in_loop if is_async else fail)
    server.on_stopping(log.plain("next"))
    server.on_shutdown(log.plain("end"))
    server.start(ANYWHERE)
    stop(server)
    assert log.entries == ["next", "end"]
    assert "() for the beginning of the stop raised" in caplog.text


@pytest.mark.parametrize("is_async", [False, True])
def test_function_that_hangs_is_given_up_when_the_grace_is_over(
    server: pybrpc.Server, log: Log, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    release = threading.Event()

    async def hang_in_loop() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            log.note("cancelled")

    server.on_stopping(hang_in_loop if is_async else lambda: release.wait(WAIT_S))
    server.on_stopping(log.plain("next"))
    server.on_shutdown(log.plain("end"))
    server.start(ANYWHERE)
    stop(server, 0.1)
    release.set()
    assert log.entries[0] == "end"
    assert "next" not in log.entries
    assert "the functions for the beginning of the stop have not ended in time" in caplog.text


@pytest.mark.parametrize("name", ["on_stopping", "on_shutdown"])
def test_function_that_waits_for_the_end_of_its_own_stop_gets_an_error(
    server: pybrpc.Server, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    getattr(server, name)(server.join)
    server.start(ANYWHERE)
    stop(server, None)
    assert "join() would wait for the function of the stop that calls it" in caplog.text


def test_functions_have_their_time_when_the_runtime_is_closed_too(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    runtime = Runtime()
    server = pybrpc.Server(runtime=runtime)
    server.on_stopping(log.plain("begin"))
    server.on_stopping(lambda: release.wait(WAIT_S * 2))
    server.on_shutdown(log.plain("end"))
    server.start(ANYWHERE)
    runtime.close()
    stop(server, 0.1)
    release.set()
    assert log.entries == ["begin", "end"]
    assert "the functions for the beginning of the stop have not ended in time" in caplog.text


def test_end_of_the_server_waits_for_functions_of_the_begin(
    server: pybrpc.Server, log: Log
) -> None:
    release = threading.Event()

    @server.on_stopping
    def work() -> None:
        release.wait(WAIT_S)
        log.note("begin")

    server.on_shutdown(log.plain("end"))
    server.start(ANYWHERE)
    server.stop(None)
    assert not server.join(0.2)
    assert log.entries == []
    release.set()
    assert server.join(WAIT_S)
    assert log.entries == ["begin", "end"]


def test_second_stop_ends_the_wait_for_a_function(server: pybrpc.Server, log: Log) -> None:
    release = threading.Event()
    server.on_stopping(lambda: release.wait(WAIT_S))
    server.on_shutdown(log.plain("end"))
    server.start(ANYWHERE)
    server.stop(None)
    assert not server.join(0.2)
    stop(server, 0)
    release.set()
    assert log.entries == ["end"]


def test_function_may_stop_and_join_the_server(server: pybrpc.Server, log: Log) -> None:
    @server.on_stopping
    def stop_again() -> None:
        server.stop(0)
        server.join(WAIT_S)
        log.note("joined")

    server.start(ANYWHERE)
    stop(server)


def test_functions_are_called_after_the_drain(log: Log) -> None:
    with pybrpc.Server(drain_delay=WAIT_S) as server:
        server.add_service(ECHO, Service(log))
        server.on_stopping(log.plain("begin"))
        address = server.start(ANYWHERE)
        server.stop(WAIT_S)
        assert server.is_stopping
        call(address)
        assert log.entries == ["handler"]
        stop(server)
        assert log.entries == ["handler", "begin"]


def test_server_that_can_not_start_calls_none(server: pybrpc.Server, log: Log) -> None:
    def fail() -> None:
        raise ValueError("no")

    server.on_startup(fail)
    server.on_stopping(log.plain("begin"))
    with pytest.raises(ValueError, match="no"):
        server.start(ANYWHERE)
    assert log.entries == []


def test_what_is_no_function_is_refused_and_so_is_one_while_it_runs(server: pybrpc.Server) -> None:
    with pytest.raises(TypeError, match="on_stopping takes a function without arguments, not 5"):
        server.on_stopping(5)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="on_stopping calls its function without arguments"):
        server.on_stopping(lambda one: one)  # type: ignore[misc, arg-type]
    server.start(ANYWHERE)
    with pytest.raises(ServerStateError, match="before the server is started"):
        server.on_stopping(lambda: None)


def test_functions_of_a_server_in_a_loop_run_in_that(log: Log) -> None:
    async def main() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, AsyncService(log))
            server.on_stopping(log.plain("plain"))
            server.on_stopping(log.awaited("async"))
            server.on_shutdown(log.plain("end"))
            await server.start_async(ANYWHERE)

    asyncio.run(main())
    assert log.entries == ["plain", "async", "end"]
    assert set(log.threads.values()) == {threading.current_thread()}


def test_function_that_hangs_in_the_loop_of_a_server_is_cancelled(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            log.note("cancelled")

    async def main() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, AsyncService(log))
            server.on_stopping(hang)
            await server.start_async(ANYWHERE)
            server.stop(0)
            await server.wait_stopped()

    asyncio.run(main())
    assert log.entries == ["cancelled"]
    assert "the functions for the beginning of the stop have not ended in time" in caplog.text


def test_functions_run_when_asyncio_run_ends_though_the_block_was_not_left(log: Log) -> None:
    server = pybrpc.Server()

    async def main() -> None:
        await server.__aenter__()
        server.on_stopping(log.plain("plain"))
        server.on_stopping(log.awaited("async"))
        server.on_shutdown(log.plain("end"))
        await server.start_async(ANYWHERE)

    asyncio.run(main())
    assert log.entries == ["plain", "async", "end"]


def test_function_that_never_ends_keeps_no_loop_from_ending(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    server = pybrpc.Server()

    async def main() -> None:
        await server.__aenter__()
        server.on_stopping(lambda: asyncio.sleep(3600))
        server.on_shutdown(log.plain("end"))
        await server.start_async(ANYWHERE)

    asyncio.run(main())
    assert log.entries == ["end"]
    assert "the functions for the beginning of the stop have not ended in time" in caplog.text


def test_sigterm_calls_the_functions(server: pybrpc.Server, log: Log) -> None:
    server.on_stopping(log.plain("begin"))

    def send_signal() -> None:
        wait_until(lambda: signal.getsignal(signal.SIGTERM) is not before)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    server.start(ANYWHERE)
    thread = threading.Thread(target=send_signal)
    thread.start()
    server.run_until_asked_to_quit(grace=5)
    thread.join()
    assert log.entries == ["begin"]
