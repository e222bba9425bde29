"""Blocking calls in the thread of the loop that has to answer them are refused, and no others."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcTimeoutError, WouldDeadlockError
from pybrpc.rpc import answering_loops
from tests.peers.echo import ECHO, echo_request
from tests.peers.loops import LOOPS
from tests.protos import conformance_pb2 as pb

WAIT_S = 30.0
SAID = (
    r"blocking call of conformance\.EchoService\.\w+ in the thread of the asyncio loop that has to"
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="not certain elsewhere")
every_loop = pytest.mark.parametrize("loop", LOOPS)


class Echo:
    """One method is plain, the other is async."""

    def __init__(self) -> None:
        self.in_loop: Callable[[], Any] | None = None

    def Echo(self, request: Any, controller: Any) -> Any:
        return pb.EchoResponse(message=request.message)

    async def Stream(self, request: Any, controller: Any) -> Any:
        message = request.message if self.in_loop is None else self.in_loop()
        return pb.EchoResponse(message=message)


def run(main: Coroutine[Any, Any, None], loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main)


async def check_refused(stub: Any) -> None:
    """Calls of both methods are refused, blocking ones and those whose future is waited for."""
    for method in (stub.Echo, stub.Stream):
        with pytest.raises(WouldDeadlockError, match=SAID):
            method(echo_request("hello"))
        future = method.future(echo_request("hello"))
        with pytest.raises(WouldDeadlockError, match=SAID):
            future.result()
        assert (await asyncio.wrap_future(future)).message == "hello"


@every_loop
@pytest.mark.parametrize(
    ("listens", "called"),
    [
        ("127.0.0.1:0", "127.0.0.1"),
        pytest.param("0.0.0.0:0", "127.0.0.1", marks=on_linux),
        pytest.param("[::]:0", "127.0.0.1", marks=on_linux),
        pytest.param("[::]:0", "[::1]", marks=on_linux),
        ("localhost:0", "localhost"),
    ],
)
def test_blocking_call_in_the_loop_of_its_server_is_refused(
    loop: str, listens: str, called: str
) -> None:
    async def main() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, Echo())
            address = f"{called}:{server.start(listens).port}"
            with pybrpc.Channel(address, timeout=WAIT_S) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                await check_refused(stub)
                reply = await asyncio.to_thread(stub.Echo, echo_request("in a thread"))
                assert reply.message == "in a thread"

    run(main(), loop)
    assert not answering_loops.noted_servers


def test_channel_that_has_called_before_the_server_started_notices_it() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pybrpc.Channel(f"127.0.0.1:{port}", timeout=WAIT_S) as channel:
        stub = pybrpc.Stub(ECHO, channel)

        async def main() -> None:
            async with pybrpc.Server() as server:
                server.add_service(ECHO, Echo())
                server.start(f"127.0.0.1:{port}")
                with pytest.raises(WouldDeadlockError, match=SAID):
                    stub.Echo(echo_request("hello"))

        with pybrpc.Server() as server:
            server.add_service(ECHO, Echo())
            server.start(f"127.0.0.1:{port}")
            assert stub.Echo(echo_request("before")).message == "before"
        asyncio.run(main())
        with pybrpc.Server() as server:
            server.add_service(ECHO, Echo())
            server.start(f"127.0.0.1:{port}")
            assert stub.Echo(echo_request("after")).message == "after"


@every_loop
def test_blocking_call_to_a_cluster_of_servers_of_its_loop_is_refused(loop: str) -> None:
    async def main() -> None:
        async with pybrpc.Server() as one, pybrpc.Server() as other:
            addresses = []
            for server in (one, other):
                server.add_service(ECHO, Echo())
                addresses.append(f"127.0.0.1:{server.start('127.0.0.1:0').port}")
            with pybrpc.Channel(addresses, timeout=WAIT_S) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                # In another thread it waits for nobody; then the list is known too.
                reply = await asyncio.to_thread(stub.Echo, echo_request("in a thread"))
                assert reply.message == "in a thread"
                await check_refused(stub)

    run(main(), loop)


def test_async_handler_may_block_only_for_plain_methods_of_its_server() -> None:
    service, raised = Echo(), []

    def in_loop() -> str:
        try:
            stub.Stream(echo_request("never"))
        except WouldDeadlockError as error:
            raised.append(error)
        return str(stub.Echo(echo_request("plain")).message)

    service.in_loop = in_loop
    with pybrpc.Server() as server:
        server.add_service(ECHO, service)
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=WAIT_S) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            assert stub.Stream(echo_request("first")).message == "plain"
    assert [str(error)[:47] for error in raised] == [
        "a blocking call of conformance.EchoService.Stre"
    ]


def test_blocking_call_to_another_server_is_allowed_in_a_loop() -> None:
    async def main() -> None:
        async with pybrpc.Server() as bound:
            bound.add_service(ECHO, Echo())
            bound.start("127.0.0.1:0")
            with pybrpc.Channel(other.endpoint, timeout=WAIT_S) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                assert stub.Echo(echo_request("plain")).message == "plain"
                assert stub.Stream(echo_request("async")).message == "async"

    with pybrpc.Server() as other:
        other.add_service(ECHO, Echo())
        other.start("127.0.0.1:0")
        asyncio.run(main())


def test_server_whose_socket_others_may_have_is_not_judged() -> None:
    """Another process might answer: the call runs into its deadline, as it would there."""

    async def main() -> None:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        async with pybrpc.Server() as server:
            server.add_service(ECHO, Echo())
            with pybrpc.Channel(server.start(bound), timeout=0.1) as channel:
                with pytest.raises(RpcTimeoutError):
                    pybrpc.Stub(ECHO, channel).Echo(echo_request())

    asyncio.run(main())
