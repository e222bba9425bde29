"""The functions of on_startup and on_shutdown: when, where, and in which order they are called."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ServerStateError
from pybrpc.server.lifecycle import stop_hooks
from pybrpc.transport.listening.listen import ListenError
from tests.fakes.server_hooks import ANYWHERE, AsyncService, Log, Service, stop, value
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, text_of
from tests.peers.supervised import call


def test_functions_are_called_in_order_and_at_the_end_in_reverse(
    server: pybrpc.Server, log: Log
) -> None:
    server.on_startup(log.plain("up 1"))
    server.on_startup(log.awaited("up 2"))
    server.on_startup(log.plain("up 3"))
    server.on_shutdown(log.plain("down 1"))
    server.on_shutdown(log.awaited("down 2"))
    server.on_shutdown(log.plain("down 3"))
    for _ in range(2):
        log.entries.clear()
        call(server.start(ANYWHERE))
        stop(server)
        assert log.entries == ["up 1", "up 2", "up 3", "handler", "down 3", "down 2", "down 1"]


def test_async_functions_run_in_the_loop_of_async_handlers(server: pybrpc.Server, log: Log) -> None:
    server.on_startup(log.plain("up"))
    server.on_startup(log.awaited("async up"))
    server.on_shutdown(log.awaited("async down"))
    call(server.start(ANYWHERE))
    stop(server)
    assert log.threads["async up"] is log.threads["async down"] is log.threads["handler"]
    assert log.threads["up"] is threading.current_thread()


def test_server_without_async_handlers_has_a_loop_for_async_functions(log: Log) -> None:
    server = pybrpc.Server()
    server.add_service(ECHO, Service(log))
    server.on_shutdown(log.awaited("down"))
    server.start(ANYWHERE)
    stop(server)
    assert log.threads["down"].name == "pybrpc-handler-loop"
    server.on_startup(log.awaited("up"))
    server.start(ANYWHERE)
    stop(server)
    assert log.entries == ["down", "up", "down"]


def test_functions_may_be_decorated(server: pybrpc.Server, log: Log) -> None:
    @server.on_startup
    def up() -> None:
        log.note("up")

    @server.on_shutdown
    async def down() -> None:
        log.note("down")

    server.start(ANYWHERE)
    up()
    stop(server)
    assert log.entries == ["up", "up", "down"]


@pytest.mark.parametrize("service", [Service, AsyncService])
@pytest.mark.parametrize("is_async", [False, True])
def test_handlers_see_the_context_that_a_function_has_set(
    service: Callable[[Log], object], is_async: bool, log: Log
) -> None:
    def set_value() -> None:
        value.set("set")

    async def set_value_in_loop() -> None:
        value.set("set")

    seen: list[str] = []
    with pybrpc.Server() as server:
        server.add_service(ECHO, service(log))
        server.on_startup(set_value_in_loop if is_async else set_value)
        server.on_shutdown(lambda: seen.append(value.get()))
        assert call(server.start(ANYWHERE)) == "set"
    assert value.get() == ""
    assert seen == ["set"]


def test_nothing_listens_before_the_functions_have_ended(server: pybrpc.Server) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @server.on_startup
    def wait() -> None:
        begun.set()
        assert go_on.wait(30)

    thread = threading.Thread(target=server.start, args=(ANYWHERE,))
    thread.start()
    assert begun.wait(30)
    assert not server.is_running
    with pytest.raises(ServerStateError, match="was not started"):
        _ = server.endpoint
    with pytest.raises(ServerStateError, match="being started already"):
        server.start(ANYWHERE)
    go_on.set()
    thread.join()
    with RawPeer(server.endpoint) as peer:
        assert text_of(peer.call()) == ""


def test_function_may_add_a_service(log: Log) -> None:
    """As of a model that it has loaded."""
    with pybrpc.Server() as server:
        server.on_startup(lambda: server.add_service(ECHO, AsyncService(log)))
        assert call(server.start(ANYWHERE)) == ""


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError()])
@pytest.mark.parametrize("is_async", [False, True])
def test_error_of_a_function_for_the_start_is_raised_and_nothing_is_left(
    server: pybrpc.Server, log: Log, error: BaseException, is_async: bool
) -> None:
    def fail() -> None:
        raise error

    async def fail_in_loop() -> None:
        raise error

    server.on_startup(log.plain("up"))
    server.on_startup(fail_in_loop if is_async else fail)
    server.on_startup(log.plain("next"))
    server.on_shutdown(log.plain("down"))
    for _ in range(2):
        with pytest.raises(type(error)):
            server.start(ANYWHERE)
        assert not server.is_running
    assert log.entries == ["up", "up"]
    assert wait_for(lambda: not has_thread("pybrpc-handler-loop"))


def has_thread(name: str) -> bool:
    return name in [thread.name for thread in threading.enumerate()]


def wait_for(is_over: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30
    while not is_over() and time.monotonic() < end:
        time.sleep(0.001)
    return is_over()


def test_functions_for_the_end_are_called_when_the_address_is_taken(
    server: pybrpc.Server, log: Log
) -> None:
    server.on_startup(log.awaited("up"))
    server.on_shutdown(log.awaited("down"))
    with pybrpc.Server() as other:
        taken = other.start(ANYWHERE)
        with pytest.raises(ListenError):
            server.start(taken)
    assert log.entries == ["up", "down"]


def test_functions_are_called_once_for_a_range_of_ports(server: pybrpc.Server, log: Log) -> None:
    server.on_startup(log.plain("up"))
    server.on_shutdown(log.plain("down"))
    with pybrpc.Server() as other:
        taken = other.start(ANYWHERE)
        with pytest.raises(ListenError, match="all taken"):
            server.start_in_range(taken.host, range(taken.port, taken.port + 1))
        assert log.entries == ["up", "down"]
        assert server.start_in_range(taken.host, range(taken.port, taken.port + 9)) != taken
    stop(server)
    assert log.entries == ["up", "down"] * 2


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError()])
@pytest.mark.parametrize("is_async", [False, True])
def test_error_of_a_function_for_the_end_is_logged_and_the_others_are_called(
    server: pybrpc.Server,
    log: Log,
    error: BaseException,
    is_async: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise error

    async def fail_in_loop() -> None:
        raise error

    server.on_shutdown(log.plain("down 1"))
    server.on_shutdown(log.awaited("down 2"))
    server.on_shutdown(fail_in_loop if is_async else fail)
    server.start(ANYWHERE)
    stop(server)
    assert log.entries == ["down 2", "down 1"]
    assert "fail" in caplog.text
    assert "for the end raised" in caplog.text


@pytest.mark.parametrize("is_async", [False, True])
def test_function_for_the_end_that_does_not_end_is_given_up(
    server: pybrpc.Server,
    log: Log,
    is_async: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stop_hooks, "SHUTDOWN_S", 0.1)
    go_on = threading.Event()

    def hang() -> None:
        go_on.wait(60)

    async def hang_in_loop() -> None:
        await asyncio.sleep(3600)

    server.on_shutdown(log.plain("down 1"))
    server.on_shutdown(hang_in_loop if is_async else hang)
    server.start(ANYWHERE)
    server.stop(None)
    assert not server.join(0.3), "there is no limit"
    assert server.is_stopping
    stop(server, 0)
    assert "have not ended in time" in caplog.text
    go_on.set()
    assert wait_for(lambda: not has_thread("pybrpc-server-hooks"))
    assert log.entries == []


def test_handlers_end_before_the_functions_for_the_end(server: pybrpc.Server, log: Log) -> None:
    class Slow(Service):
        async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:  # type: ignore[override]
            log.note("begins")
            await asyncio.sleep(0.2)
            return super().Echo(request, controller)

        Stream = Echo

    server.remove_service(ECHO)
    server.add_service(ECHO, Slow(log))
    server.on_shutdown(log.plain("down"))
    with pybrpc.Channel(str(server.start(ANYWHERE)), timeout=30) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("hello"))
        assert wait_for(lambda: "begins" in log.entries)
        stop(server)
        future.result()
    assert log.entries == ["begins", "handler", "down"]


def test_task_of_a_function_for_the_start_runs_until_those_for_the_end_have_ended(
    server: pybrpc.Server, log: Log
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            log.note("cancelled")

    @server.on_startup
    async def begin() -> None:
        tasks.append(asyncio.create_task(work()))

    @server.on_shutdown
    async def look() -> None:
        assert not tasks[0].done()
        log.note("down")

    server.start(ANYWHERE)
    stop(server)
    assert log.entries == ["down", "cancelled"]


def test_start_goes_on_when_a_function_has_stopped_the_loop(server: pybrpc.Server) -> None:
    @server.on_startup
    async def stop_loop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)

    assert call(server.start(ANYWHERE)) == ""


def test_start_that_is_interrupted_cancels_the_function_that_it_awaits(
    server: pybrpc.Server, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Ctrl-C."""
    begun = threading.Event()

    @server.on_startup
    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            log.note("cancelled")

    def interrupt(*arguments: object) -> None:
        assert begun.wait(30)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(concurrent.futures, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.start(ANYWHERE)
    assert wait_for(lambda: log.entries == ["cancelled"])
    assert not server.is_running


def test_only_functions_can_be_added_and_only_before_the_start(server: pybrpc.Server) -> None:
    for add in (server.on_startup, server.on_shutdown):
        with pytest.raises(TypeError, match=f"{add.__name__} takes a function without arguments"):
            add("function")  # type: ignore[type-var]
        with pytest.raises(TypeError, match="without arguments: missing a required argument"):
            add(lambda server: None)  # type: ignore[arg-type, misc]
    server.start(ANYWHERE)
    for add in (server.on_startup, server.on_shutdown):
        with pytest.raises(ServerStateError, match="before the server is started"):
            add(print)


def test_functions_can_not_be_added_by_those_of_the_start(server: pybrpc.Server) -> None:
    refused: list[str] = []

    @server.on_startup
    def add() -> None:
        for each in (server.on_startup, server.on_stopping, server.on_shutdown):
            with contextlib.suppress(ServerStateError):
                each(add)
                return
            refused.append(each.__name__)

    for _ in range(2):
        server.start(ANYWHERE)
        stop(server)
    assert refused == ["on_startup", "on_stopping", "on_shutdown"] * 2


def test_generator_which_would_never_run_is_refused(server: pybrpc.Server) -> None:
    def plain() -> Any:
        yield

    async def awaited() -> Any:
        yield

    for add in (server.on_startup, server.on_stopping, server.on_shutdown):
        for function in (plain, awaited):
            with pytest.raises(TypeError, match=f"{add.__name__} .* not be a generator"):
                add(function)


def test_start_async_is_for_a_server_in_a_loop(server: pybrpc.Server) -> None:
    with pytest.raises(ServerStateError, match="needs `async with server`"):
        asyncio.run(server.start_async(ANYWHERE))
