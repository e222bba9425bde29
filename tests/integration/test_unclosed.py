"""Channels and servers that are dropped while they are open warn, as sockets do."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from typing import Any

import pytest

import pybrpc
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer


@pytest.fixture(autouse=True)
def nothing_is_left_of_other_tests() -> None:
    gc.collect()


def collected() -> list[str]:
    """The ResourceWarnings of what is collected now."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    return [str(each.message) for each in caught if each.category is ResourceWarning]


def drop_after_a_call(address: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        channel = pybrpc.Channel(address, timeout=30)
        assert pybrpc.Stub(ECHO, channel).Echo(echo_request("hello")).message == "hello"
        del channel
        gc.collect()
    return [str(each.message) for each in caught if each.category is ResourceWarning]


def test_dropped_channel_warns_and_releases_its_connection() -> None:
    with ScriptedServer() as server:
        said = f"unclosed channel <Channel to {server.address}, open, timeout 30 s>"
        assert drop_after_a_call(server.address) == [said]
        assert drop_after_a_call(server.address) == [said]
    assert server.connections == 2


def test_dropped_channel_of_a_loop_warns() -> None:
    async def main(address: str) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            channel = pybrpc.aio.Channel(address, timeout=30)
            stub: Any = pybrpc.Stub(ECHO, channel)
            assert (await stub.Echo(echo_request("hello"))).message == "hello"
            del channel, stub
            gc.collect()
        await asyncio.sleep(0)
        return [str(each.message) for each in caught if each.category is ResourceWarning]

    with ScriptedServer() as server:
        (said,) = asyncio.run(main(server.address))
    assert said.startswith("unclosed channel <AioChannel to ")


def test_channel_that_has_called_nobody_has_nothing_to_close() -> None:
    channel: Any = pybrpc.Channel("127.0.0.1:1")
    aio_channel: Any = pybrpc.aio.Channel("127.0.0.1:1")
    del channel, aio_channel
    assert collected() == []


def test_closed_channel_does_not_warn() -> None:
    with ScriptedServer() as server:
        channel = pybrpc.Channel(server.address, timeout=30)
        pybrpc.Stub(ECHO, channel).Echo(echo_request("hello"))
        channel.close()
        del channel
        assert collected() == []


def test_channel_whose_constructor_raises_does_not_warn() -> None:
    with pytest.raises(ValueError, match="max_retry"):
        pybrpc.Channel("127.0.0.1:1", max_retry=-1)
    with pytest.raises(ValueError, match="max_workers"):
        pybrpc.Server(max_workers=0)
    assert collected() == []


class Service:
    def Echo(self, request: Any, controller: Any) -> Any: ...

    Stream = Echo


def test_dropped_server_warns_and_goes_on() -> None:
    server = pybrpc.Server()
    server.add_service(ECHO, Service())
    run: Any = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        address = server.start("127.0.0.1:0")
        run = server._run
        del server
        gc.collect()
    (said,) = [str(each.message) for each in caught if each.category is ResourceWarning]
    assert said.startswith("unclosed server <Server of conformance.EchoService, running on ")
    assert said.endswith(">, which goes on")
    with pybrpc.Channel(address, timeout=30) as channel:
        with pytest.raises(pybrpc.RpcError, match="the handler returned NoneType"):
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
    run.stop(0)
    assert run.stopped.wait(float("inf"))
    run.join_threads(float("inf"))


def test_server_that_was_stopped_or_never_started_does_not_warn() -> None:
    fresh: Any = pybrpc.Server()
    with pybrpc.Server() as server:
        server.add_service(ECHO, Service())
        server.start("127.0.0.1:0")
    del server, fresh
    assert collected() == []


AT_EXIT = """
import pybrpc
from tests.peers.echo import ECHO, echo_request
from tests.peers.worker_apps import WorkerEcho
server = pybrpc.Server()
server.add_service(ECHO, WorkerEcho())
channel = pybrpc.Channel(server.start("127.0.0.1:0"), timeout=30)
pybrpc.Stub(ECHO, channel).Echo(echo_request("hello"))
"""


@pytest.mark.parametrize("flags", [[], ["-X", "dev"]])
def test_end_of_the_program_is_silent(flags: list[str]) -> None:
    command = [sys.executable, *flags, "-c", AT_EXIT]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "channel" not in result.stderr
    assert "__del__" not in result.stderr


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (
            lambda: pybrpc.aio.Channel("127.0.0.1:1"),
            r"`async with pybrpc\.aio\.Channel`; for `with`",
        ),
        (
            lambda: redis_channel("aio"),
            r"`async with pybrpc\.redis\.aio\.RedisChannel`; for `with`,",
        ),
    ],
)
def test_with_names_the_other_class(make: Any, other: str) -> None:
    with pytest.raises(TypeError, match=other):
        with make():
            raise AssertionError("the block runs")


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (
            lambda: pybrpc.Channel("127.0.0.1:1"),
            r"`with pybrpc\.Channel`; for `async with`, pybrpc\.",
        ),
        (lambda: redis_channel("threads"), r"for `async with`, pybrpc\.redis\.aio\.RedisChannel"),
    ],
)
def test_async_with_names_the_other_class(make: Any, other: str) -> None:
    async def main() -> None:
        async with make():
            raise AssertionError("the block runs")

    with pytest.raises(TypeError, match=other):
        asyncio.run(main())


def redis_channel(kind: str) -> Any:
    redis = pytest.importorskip("pybrpc.redis")
    make = redis.aio.RedisChannel if kind == "aio" else redis.RedisChannel
    return make("127.0.0.1:1")
