"""Channels to clusters with partitions, over real servers whose list is a file."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.threads import wait_until
from tests.peers.clusters import REQUEST, Load, answers, cluster
from tests.peers.echo import ECHO


def joined(response: Any, sub_response: Any) -> None:
    response.message += f"{sub_response.message[-1]}"


def write(path: Path, addresses: list[str], tags: list[str]) -> str:
    """A list of servers, put there as a whole."""
    new = path.with_suffix(".new")
    lines = [f"{address} {tag}\n" for address, tag in zip(addresses, tags, strict=False)]
    new.write_text("".join(lines))
    os.replace(new, path)
    return f"file://{path}"


def listed(addresses: list[str], tags: list[str]) -> str:
    return "list://" + ",".join(f"{a} {tag}" for a, tag in zip(addresses, tags, strict=True))


def test_each_partition_gets_a_sub_call() -> None:
    with cluster(4) as servers:
        where = listed(servers.addresses, ["0/2", "1/2", "1/2", "0/3"])
        with pybrpc.PartitionChannel(
            where, 2, load_balancer="rr", timeout=30, merger=joined
        ) as channel:
            found = answers(pybrpc.Stub(ECHO, channel), 4)
        assert found == {"01": 2, "02": 2}
        assert servers.calls == [4, 2, 2, 0]


def test_partition_parser_reads_tags_of_any_form() -> None:
    def parser(tag: str) -> Any:
        if tag == "odd":
            raise ValueError("no partition")
        return {"left": (0, 2), "right": (1, 2), "beyond": (2, 2)}.get(tag)

    with cluster(4) as servers:
        where = listed(servers.addresses, ["left", "right", "beyond", "odd"])
        with pybrpc.PartitionChannel(
            where, 2, partition_parser=parser, timeout=30, merger=joined
        ) as channel:
            assert answers(pybrpc.Stub(ECHO, channel), 2) == {"01": 2}


def test_partition_without_servers_fails_as_its_sub_call() -> None:
    with cluster(1) as servers:
        where = listed(servers.addresses, ["0/2"])
        controller = pybrpc.Controller()
        with pybrpc.PartitionChannel(where, 2, timeout=30, fail_limit=1) as channel:
            with pytest.raises(RpcError) as caught:
                pybrpc.Stub(ECHO, channel).Echo(REQUEST, controller=controller)
        assert caught.value.code == errno.ENODATA
        assert controller.sub_calls[1].code == errno.ENODATA
        assert f"{where} names no server of partition 1/2" in caught.value.text


def test_dynamic_channel_picks_partitionings_by_their_capacity() -> None:
    with cluster(5) as servers:
        where = listed(servers.addresses, ["0/1", "0/1", "0/1", "0/2", "1/2"])
        with pybrpc.DynamicPartitionChannel(
            where, load_balancer="rr", timeout=30, merger=joined
        ) as channel:
            assert channel.partition_counts == {1: 3, 2: 1}
            found = answers(pybrpc.Stub(ECHO, channel), 80)
        two = found.pop("34")
        assert sum(found.values()) == 80 - two
        assert 5 <= two <= 40  # 20 of them; 40 are 4.9 standard deviations away


def test_dynamic_channel_without_a_whole_partitioning_is_ehostdown() -> None:
    with cluster(1) as servers:
        where = listed(servers.addresses, ["1/3"])
        with pybrpc.DynamicPartitionChannel(where, timeout=30) as channel:
            with pytest.raises(RpcError) as caught:
                pybrpc.Stub(ECHO, channel).Echo(REQUEST)
        assert caught.value.code == errno.EHOSTDOWN


def test_traffic_moves_from_three_partitions_to_four_without_an_error(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    three, four = ["0/3", "1/3", "2/3"], ["0/4", "1/4", "2/4", "3/4"]
    with cluster(7) as servers:
        where = write(path, servers.addresses, three)
        with pybrpc.DynamicPartitionChannel(where, timeout=30, fail_limit=1) as channel:
            with Load(pybrpc.Stub(ECHO, channel), 2) as load:
                load.wait_for_calls(10)
                write(path, servers.addresses, three + four)
                wait_until(lambda: channel.partition_counts == {3: 1, 4: 1})
                load.wait_for_calls(10)
                write(path, servers.addresses[3:], four)
                wait_until(lambda: channel.partition_counts == {4: 1})
                load.wait_for_calls(10)
                before = servers.calls[:3]
                load.wait_for_calls(10)
            assert load.errors == []
            assert servers.calls[:3] == before


def test_call_before_the_first_list_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    options: Any = {"timeout": 30, "merger": joined, "wait_for_ready": True}
    with cluster(2) as servers:
        with pybrpc.DynamicPartitionChannel(f"file://{path}", **options) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(REQUEST)
            with pytest.raises(RpcError) as caught:
                pybrpc.Stub(ECHO, channel).Echo(REQUEST, timeout=0.05)
            assert caught.value.code == ErrorCode.ERPCTIMEDOUT
            write(path, servers.addresses, ["0/2", "1/2"])
            assert future.result(30).message == "01"


@pytest.mark.parametrize("kind", ["PartitionChannel", "DynamicPartitionChannel"])
def test_partitions_are_called_in_asyncio_too(kind: str) -> None:
    async def call(where: str) -> Any:
        count = [2] if kind == "PartitionChannel" else []
        async with getattr(pybrpc.aio, kind)(where, *count, timeout=30, merger=joined) as channel:
            return await pybrpc.Stub(ECHO, channel).Echo(REQUEST)

    with cluster(2) as servers:
        where = listed(servers.addresses, ["0/2", "1/2"])
        assert asyncio.run(call(where)).message == "01"


def test_dynamic_channel_without_partitions_says_that_tags_name_none() -> None:
    with pybrpc.DynamicPartitionChannel("list://127.0.0.1:1") as channel:
        with pytest.raises(RpcError, match="no server whose tag names a partition") as raised:
            pybrpc.Stub(ECHO, channel).Echo(REQUEST)
        assert raised.value.code == errno.ENODATA


def test_dynamic_channel_whose_naming_service_fails_has_its_error_at_once() -> None:
    """As `pybrpc.Channel`: nobody would wake calls without a timeout."""
    with pybrpc.DynamicPartitionChannel("file:///does/not/exist", timeout=None) as channel:
        with pytest.raises(RpcError, match="No such file") as raised:
            pybrpc.Stub(ECHO, channel).Echo(REQUEST)
        assert raised.value.code == errno.ENODATA
