"""connection_type="auto": one connection for all, and some for threads that block together."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.client.endpoints import auto_connections
from pybrpc.client.endpoints.auto_connections import AutoConnections
from tests.fakes.threads import WAIT_S, in_threads, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import counts
from tests.peers.forking import exit_code_of, fork
from tests.peers.scripted_server import Peer, ScriptedServer, echo


def auto(address: str, **options: Any) -> pybrpc.Channel:
    options.setdefault("timeout", 30)
    return pybrpc.Channel(address, connection_type="auto", **options)


def source_of(channel: pybrpc.Channel) -> AutoConnections:
    source = channel.source()
    assert isinstance(source, AutoConnections)
    return source


def call_together(stub: Any, threads: int, calls: int = 200) -> None:
    """Threads that call all the time, each its own messages."""
    begin = threading.Barrier(threads)

    def call(index: int) -> None:
        begin.wait()
        for number in range(calls):
            text = f"{index} {number}"
            assert stub.Echo(echo_request(text)).message == text

    in_threads(threads, call)


def grow_to(stub: Any, channel: pybrpc.Channel, connections: int) -> None:
    """Call from threads until there are so many established connections."""
    for _ in range(100):
        call_together(stub, connections, 20)
        if counts(channel).idle >= connections:
            return
    raise AssertionError(f"{counts(channel)} instead of {connections}")


def test_lone_caller_needs_one_connection() -> None:
    with ScriptedServer() as server, auto(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        for i in range(50):
            assert stub.Echo(echo_request(str(i))).message == str(i)
        assert counts(channel).created == 1
    assert server.connections == 1


def test_threads_that_block_together_get_connections_of_their_own() -> None:
    with ScriptedServer() as server, auto(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        grow_to(stub, channel, 3)
        source = source_of(channel)
        own = [one for one in source.connections if one.owner is not source]
        assert len(own) >= 2
        assert all(one.direct is not None for one in own)
        before = sum(one.socket.messages_read for one in own)
        call_together(stub, 4)
        assert sum(one.socket.messages_read for one in own) > before
        assert counts(channel).in_use == 0


def test_there_are_no_more_than_allowed_and_the_others_share() -> None:
    with ScriptedServer() as server, auto(server.address, max_pool_size=2) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        grow_to(stub, channel, 3)
        source = source_of(channel)
        own = [one for one in source.connections if one.owner is not source]
        before = sum(one.socket.messages_read for one in own)
        call_together(stub, 12, 50)
        # Of two threads that make the shared one at the same time, one closes its own.
        assert counts(channel).created - counts(channel).closed == 3
        # In a crowd all share, so few of the 600 calls had one for themselves.
        assert sum(one.socket.messages_read for one in own) - before < 300
    assert server.connections == 3


def test_no_more_than_allowed_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_connections, "PROCESS_LIMIT", 2)
    with ScriptedServer() as one, ScriptedServer() as two:
        with auto(one.address) as first, auto(two.address) as second:
            for channel in (first, second) * 3:
                call_together(pybrpc.Stub(ECHO, channel), 6, 50)
            open_ones = [
                counts(channel).created - counts(channel).closed for channel in (first, second)
            ]
            assert sum(open_ones) == 4
        assert auto_connections._in_process.get() >= 0
        wait_until(lambda: auto_connections._in_process.get() == 0)


def test_futures_and_callbacks_share_one() -> None:
    with ScriptedServer() as server, auto(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        futures = [stub.Echo.future(echo_request(str(i))) for i in range(100)]
        assert [future.result(WAIT_S).message for future in futures] == list(map(str, range(100)))
    assert server.connections == 1


def test_tasks_share_one() -> None:
    async def main() -> None:
        with ScriptedServer() as server:
            options: Any = {"connection_type": "auto", "timeout": 30}
            async with pybrpc.aio.Channel(server.address, **options) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                calls = [stub.Echo(echo_request(str(i))) for i in range(50)]
                answers = await asyncio.gather(*calls)
                assert [answer.message for answer in answers] == list(map(str, range(50)))
            assert server.connections == 1

    asyncio.run(main())


def test_own_connections_are_closed_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_connections, "IDLE_S", 0.2)
    with ScriptedServer() as server, auto(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        grow_to(stub, channel, 2)
        wait_until(lambda: counts(channel).created - counts(channel).closed == 1)
        assert stub.Echo(echo_request("shared")).message == "shared"


def test_server_that_takes_no_more_connections_is_called_over_the_first() -> None:
    def refuse(peer: Peer) -> None:
        """Close at once."""

    with ScriptedServer(echo, refuse) as server, auto(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        call_together(stub, 6, 100)
        assert 2 <= server.connections <= 8


def test_own_connection_that_breaks_costs_a_retry_over_the_shared_one() -> None:
    def break_later(peer: Peer) -> None:
        for _ in range(5):
            request = peer.read_request()
            if request is None:
                return
            peer.answer(request)
        peer.read_request()  # and closes

    with ScriptedServer(echo, break_later) as server, auto(server.address) as channel:
        call_together(pybrpc.Stub(ECHO, channel), 4, 100)


def test_servers_of_a_cluster_have_own_connections_too() -> None:
    with ScriptedServer() as one, ScriptedServer() as two:
        with auto(f"list://{one.address},{two.address}") as channel:
            for _ in range(5):
                call_together(pybrpc.Stub(ECHO, channel), 6, 50)
        assert one.connections + two.connections > 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_begins_with_none() -> None:
    with ScriptedServer() as server, auto(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        grow_to(stub, channel, 2)

        def child() -> None:
            assert auto_connections._in_process.get() == 0
            call_together(stub, 3, 50)

        assert exit_code_of(fork(child)) == 0
        call_together(stub, 3, 50)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"connections": 2}, "connections=k is for"),
        ({"max_pool_size": 0}, "max_pool_size"),
        ({"protocol": "http"}, "http needs the connection_type 'pooled' or 'short'"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        auto("127.0.0.1:1", **options)
