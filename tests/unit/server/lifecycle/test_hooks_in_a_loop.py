"""The functions of on_startup and on_shutdown of a server in a loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ServerStateError
from pybrpc.server.lifecycle import stop_hooks
from pybrpc.transport.listening.listen import ListenError
from tests.fakes.server_hooks import ANYWHERE, AsyncService, Log, value
from tests.peers.echo import ECHO, echo_request


def in_loop(main: Callable[[pybrpc.Server], Any], log: Log) -> None:
    async def run() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, AsyncService(log))
            await main(server)

    asyncio.run(run())


async def call_in_loop(server: pybrpc.Server) -> str:
    async with pybrpc.aio.Channel(str(server.endpoint), timeout=30) as channel:
        return str((await pybrpc.Stub(ECHO, channel).Echo(echo_request("hello"))).message)


def test_functions_of_a_server_in_a_loop_run_in_that(log: Log) -> None:
    async def main(server: pybrpc.Server) -> None:
        server.on_startup(log.plain("up 1"))
        server.on_startup(log.awaited("up 2"))
        server.on_startup(lambda: value.set("set"))
        server.on_shutdown(log.plain("down 1"))
        server.on_shutdown(log.awaited("down 2"))
        await server.start_async(ANYWHERE)
        assert await call_in_loop(server) == "set"

    in_loop(main, log)
    assert log.entries == ["up 1", "up 2", "handler", "down 2", "down 1"]
    assert set(log.threads.values()) == {threading.current_thread()}


def test_start_in_a_loop_is_enough_for_plain_functions(log: Log) -> None:
    async def main(server: pybrpc.Server) -> None:
        server.on_startup(log.plain("up"))
        server.on_shutdown(log.awaited("down"))
        server.start(ANYWHERE)
        server.stop()
        await server.wait_stopped()
        server.on_startup(log.awaited("never"))
        with pytest.raises(ServerStateError, match=r"await server\.start_async\(\.\.\.\)"):
            server.start(ANYWHERE)
        assert not server.is_running

    in_loop(main, log)
    assert log.entries == ["up", "down", "up"]


def test_failed_start_in_a_loop_leaves_nothing(log: Log) -> None:
    async def fail() -> None:
        raise ValueError("no")

    async def main(server: pybrpc.Server) -> None:
        server.on_startup(log.awaited("up"))
        server.on_shutdown(log.awaited("down"))
        with pybrpc.Server() as other:
            with pytest.raises(ListenError):
                await server.start_async(other.start(ANYWHERE))
        assert log.entries == ["up", "down"]
        server.on_startup(fail)
        with pytest.raises(ValueError, match="no"):
            await server.start_async(ANYWHERE)
        assert log.entries == ["up", "down", "up"]

    in_loop(main, log)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, GeneratorExit, SystemExit])
def test_error_at_the_end_of_a_server_in_a_loop_is_logged(
    log: Log, error: type[BaseException], is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Any:
        async def fail_later() -> None:
            await asyncio.sleep(0)
            raise error

        if is_async:
            return fail_later()
        raise error

    async def main(server: pybrpc.Server) -> None:
        server.on_shutdown(log.awaited("down 1"))
        server.on_shutdown(fail)
        server.on_shutdown(log.plain("down 3"))
        await server.start_async(ANYWHERE)

    in_loop(main, log)
    assert log.entries == ["down 3", "down 1"]
    assert "fail() for the end raised" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, KeyboardInterrupt])
def test_start_in_a_loop_raises_whatever_a_function_raises(
    log: Log, error: type[BaseException]
) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    async def main(server: pybrpc.Server) -> None:
        server.on_startup(fail)
        with pytest.raises(error):
            await server.start_async(ANYWHERE)
        assert not server.is_running

    in_loop(main, log)


def test_functions_run_when_asyncio_run_ends_though_the_block_was_not_left(log: Log) -> None:
    server = pybrpc.Server()

    async def main() -> None:
        await server.__aenter__()
        server.on_shutdown(log.awaited("down"))
        await server.start_async(ANYWHERE)

    asyncio.run(main())
    assert log.entries == ["down"]


def test_function_that_hangs_at_the_end_in_a_loop_is_given_up(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stop_hooks, "SHUTDOWN_S", 0.1)

    async def hang() -> None:
        await asyncio.sleep(3600)

    async def main(server: pybrpc.Server) -> None:
        server.on_shutdown(hang)
        await server.start_async(ANYWHERE)
        server.stop(0)
        await server.wait_stopped()

    in_loop(main, log)
    assert "have not ended in time" in caplog.text
