"""Calls to several servers that wait: for a list, for a server, for room; and how that ends."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ChannelClosedError, ErrorCode, RpcError, RpcTimeoutError
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.clusters import (
    REQUEST,
    answers,
    cluster,
    cluster_stub,
)
from tests.peers.echo import ECHO
from tests.peers.forking import exit_code_of, fork


def test_empty_list_is_enodata() -> None:
    with cluster_stub([]) as (stub, _), pytest.raises(RpcError) as raised:
        stub.Echo(REQUEST)
    assert raised.value.code == errno.ENODATA


def test_server_that_leaves_the_list_ends_its_calls_first(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    with cluster(2) as servers:
        path.write_text("\n".join(servers.addresses))
        with cluster_stub(f"file://{path}") as (stub, channel):
            stub.Echo(REQUEST)
            busy = next(member for member in servers.members if not member.calls)
            entered, opened = threading.Event(), threading.Event()
            busy.behave = lambda request, controller: (entered.set(), opened.wait(10))
            future = stub.Echo.future(REQUEST)
            assert entered.wait(10)
            stays = next(member for member in servers.members if member is not busy)
            _replace(path, stays.address)
            wait_until(lambda: len(channel.servers()) == 1)
            assert answers(stub, 4) == {stays.name: 4}
            opened.set()
            assert future.result().message == busy.name


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def test_calls_wait_for_a_server_of_an_empty_list(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    path.write_text("")
    with cluster(1) as servers, cluster_stub(f"file://{path}", wait_for_ready=True) as (stub, _):
        future = stub.Echo.future(REQUEST)
        time.sleep(0.05)
        assert not future.done()
        _replace(path, servers[0].address)
        assert future.result(10).message == "server 0"


def test_call_waits_for_a_server_that_is_down_if_it_is_told_to(dead_address: str) -> None:
    with cluster_stub([dead_address], wait_for_ready=True, timeout=0.2) as (stub, _):
        with pytest.raises(RpcTimeoutError) as raised:
            stub.Echo(REQUEST)
        assert "is usable" in raised.value.text


def test_calls_wait_in_turn_while_all_pools_are_used_up() -> None:
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses, connection_type="pooled", max_pool_size=1) as (
            stub,
            channel,
        ),
    ):
        for member in servers.members:
            member.sleep(0.01)
        futures = [stub.Echo.future(REQUEST) for _ in range(20)]
        assert {future.result().message for future in futures} == {"server 0", "server 1"}
        statistics = channel.endpoint_statistics()
        assert statistics is not None
        assert statistics.created == 2


def test_closing_ends_calls_that_wait_and_calls_in_flight(dead_address: str) -> None:
    with cluster(1) as servers:
        servers[0].sleep(1)
        with cluster_stub(servers.addresses) as (stub, channel):
            flying = stub.Echo.future(REQUEST)
            wait_until(lambda: servers.calls == [1])
            channel.close()
            with pytest.raises(RpcError) as raised:
                flying.result(10)
            assert raised.value.code == ErrorCode.ECLOSE
        with cluster_stub([dead_address], wait_for_ready=True) as (stub, channel):
            waiting = stub.Echo.future(REQUEST)
            time.sleep(0.05)
            channel.close()
            with pytest.raises(RpcError) as raised:
                waiting.result(10)
            assert raised.value.code == ErrorCode.ECLOSE


def test_wait_ready_waits_for_the_first_list(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    with cluster(1) as servers, cluster_stub(f"file://{path}") as (stub, channel):
        with pytest.raises(RpcError) as raised:
            channel.wait_ready(0.05)
        assert raised.value.code == errno.ENODATA
        timer = threading.Timer(0.05, lambda: path.write_text(servers[0].address))
        timer.start()
        channel.wait_ready(10)
        assert stub.Echo(REQUEST).message == "server 0"
        timer.join()


def test_forked_child_calls_the_cluster_anew() -> None:
    with cluster(2) as servers, cluster_stub(servers.addresses) as (stub, channel):
        answers(stub, 4)

        def in_child() -> None:
            assert sum(answers(stub, 10).values()) == 10
            assert all(status.in_flight == 0 for status in channel.servers())

        assert exit_code_of(fork(in_child)) == 0
        assert sum(answers(stub, 4).values()) == 4


def test_channel_that_is_dropped_is_collected_and_leaves_nothing() -> None:
    with cluster(2) as servers:
        channel: Any = pybrpc.Channel(servers.addresses, load_balancer="rr", timeout=10)
        channel.kept_by_itself = channel
        answers(pybrpc.Stub(ECHO, channel), 4)
        reference = weakref.ref(channel)
        del channel
        with pytest.warns(ResourceWarning, match="unclosed channel"):
            gc.collect()
        assert reference() is None
        wait_until(lambda: not default_runtime().connections.all())


def test_balancer_that_uses_none_of_the_servers_fails_calls_at_once() -> None:
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses, load_balancer="wrr", timeout=30) as (stub, channel),
    ):
        for _ in range(2):
            with pytest.raises(RpcError, match="wrr uses none of the 2 servers") as raised:
                stub.Echo(REQUEST)
            assert raised.value.code == errno.ENODATA
        with pytest.raises(RpcError, match="wrr uses none"):
            channel.wait_ready(0.05)
        assert channel.servers() == []


def test_subset_that_is_down_fails_calls_though_other_servers_are_up() -> None:
    with (
        cluster(3) as servers,
        cluster_stub(servers.addresses, load_balancer="rr:subset=1", timeout=30) as (stub, channel),
    ):
        name = stub.Echo(REQUEST).message
        used = next(member for member in servers.members if member.name == name)
        used.stop()
        with pytest.raises(RpcError):
            stub.Echo(REQUEST)
        wait_until(lambda: channel.servers()[0].state == "down")
        with pytest.raises(RpcError, match="none of the 1 servers") as raised:
            stub.Echo(REQUEST)
        assert raised.value.code == errno.EHOSTDOWN
        used.start()
        channel.wait_ready(10)
        assert stub.Echo(REQUEST).message == name


def test_calls_that_wait_for_room_end_when_their_subset_is_down() -> None:
    with (
        cluster(3) as servers,
        cluster_stub(
            servers.addresses,
            load_balancer="rr:subset=1",
            connection_type="pooled",
            max_pool_size=1,
            max_retry=0,
            timeout=30,
        ) as (stub, _),
    ):
        name = stub.Echo(REQUEST).message
        used = next(member for member in servers.members if member.name == name)
        entered, opened = threading.Event(), threading.Event()
        used.behave = lambda request, controller: (entered.set(), opened.wait(10))
        busy = stub.Echo.future(REQUEST)
        assert entered.wait(10)
        waiting = [stub.Echo.future(REQUEST) for _ in range(4)]
        used.server.stop(0)
        with pytest.raises(RpcError):
            busy.result(10)
        for future in waiting:
            with pytest.raises(RpcError):
                future.result(10)
        opened.set()
        used.server.join()


@pytest.mark.parametrize("where", ["file:///does/not/exist", ["127.0.0.1:1"]])
def test_closing_a_channel_wakes_who_waits_until_it_is_ready(where: Any) -> None:
    with cluster_stub(where, max_retry=0) as (stub, channel):
        with pytest.raises(RpcError):
            stub.Echo(REQUEST)
        wait_until(lambda: not any(server.is_usable for server in channel.servers()))
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                channel.wait_ready()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: len(channel.close_waiters) > 0)
        channel.close()
        thread.join(WAIT_S)
        assert [type(error) for error in raised] == [ChannelClosedError]
        assert not len(channel.close_waiters)


def test_closing_a_channel_wakes_the_tasks_that_wait_until_it_is_ready() -> None:
    async def check() -> None:
        channel = pybrpc.aio.Channel("file:///does/not/exist")
        waiting = asyncio.ensure_future(channel.wait_ready())
        await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(ChannelClosedError):
            await asyncio.wait_for(waiting, WAIT_S)
        assert not len(channel.close_waiters)

    asyncio.run(check())
