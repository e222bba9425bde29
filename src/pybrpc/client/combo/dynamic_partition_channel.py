"""DynamicPartitionChannel: a cluster that is partitioned in several ways at once, as while servers
move from 3 partitions to 4."""

from __future__ import annotations

import random
import weakref
from collections.abc import Sequence
from typing import Any, Unpack

from pybrpc.base.checked_options import checked_function_or_none
from pybrpc.base.guard import CLIENT, deliver_interrupt, safe_str
from pybrpc.base.named_options import check_names
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.retry import DEFAULT_MAX_RETRY, checked_max_retry
from pybrpc.client.channel.options import DEFAULT_TIMEOUT_S, ChannelOptions
from pybrpc.client.channel.servers import Servers
from pybrpc.client.cluster.balancing.randomized import WeightedRandomizedPicker
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.combo.combo_channel import LoopsFront, ThreadsFront
from pybrpc.client.combo.partition_channel import (
    MAX_PARTITIONS,
    AioPartitionChannel,
    PartitionBase,
    PartitionChannel,
)
from pybrpc.client.combo.partitions import Parser, kept, partition_of
from pybrpc.client.combo.selective_call import SelectiveCall
from pybrpc.client.combo.selective_channel import SelectiveCore
from pybrpc.client.combo.sub_call import Mapper, Merger
from pybrpc.client.combo.sub_channel import SubChannel
from pybrpc.naming import ServerNode, watch


class _Partitioning(SubChannel):
    """All servers of which each holds one of `count` partitions."""

    weight = 0
    """Servers of the partition that has the fewest."""


class _DynamicPartitions:
    """The balancer: a partitioning gets calls in proportion to its weight, none without any."""

    name = "_dynpart"
    needs_hash_key = False

    def new_picker(self, servers: Sequence[ClusterServer]) -> WeightedRandomizedPicker:
        """See `LoadBalancer`."""
        complete = [server for server in servers if server.source.weight]
        weights = [float(server.source.weight) for server in complete]
        return WeightedRandomizedPicker(complete, weights, random.random)


class DynamicPartitionBase(SelectiveCore):
    """Each call goes to one server of each partition, of one of the partitionings that the servers
    have.

    The tags of the servers say how many partitions there are: with some tagged "0/3", "1/3", "2/3"
    and others "0/4" to "3/4", there are two partitionings. A call takes one of them, with a chance
    in proportion to its capacity: the number of servers of its smallest partition. So servers can
    be moved from one to the other, one after the other, while calls go on.

    The arguments are those of `PartitionChannel`, without the count. `max_retry` is also how often
    a call that found no server goes to another partitioning. After bRPC's DynamicPartitionChannel.
    """

    def __init__(
        self,
        servers: Servers,
        *,
        partition_parser: Parser | None = None,
        fail_limit: int | None = None,
        success_limit: int | None = None,
        mapper: Mapper | None = None,
        merger: Merger | None = None,
        **options: Unpack[ChannelOptions],
    ) -> None:
        check_names(f"pybrpc.{self.name}", options, ChannelOptions)
        timeout = options.pop("timeout", DEFAULT_TIMEOUT_S)
        max_retry = checked_max_retry(options.get("max_retry", DEFAULT_MAX_RETRY))
        super().__init__(timeout, CallOptions(max_retry), _DynamicPartitions())
        self.router.when_empty = "has no server whose tag names a partition, such as 0/2"
        self._parser = checked_function_or_none("partition_parser", partition_parser, "tag")
        self._servers = kept(servers)
        self._options: Any = dict(
            options,
            timeout=None,
            partition_parser=partition_parser,
            fail_limit=fail_limit,
            success_limit=success_limit,
            mapper=mapper,
            merger=merger,
        )
        self._partitionings: dict[int, _Partitioning] = {}
        self._is_listed = False
        """Whether a call knows what to do: there is a list, or none can be had now."""
        self._waits_for_list = bool(options.get("wait_for_ready", False))
        self._new_partitioning(1)  # it checks the options
        listener = _Listener(self)
        started = watch(self._servers, listener, server_filter=options.get("server_filter"))
        self._stop_watch = weakref.finalize(self, started.close)
        self._stop_watch.atexit = False

    @property
    def partition_counts(self) -> dict[int, int]:
        """Each number of partitions that the servers have now, and its capacity."""
        return {count: each.weight for count, each in list(self._partitionings.items())}

    def has_to_wait(self, call: SelectiveCall) -> bool:
        if self._is_listed:
            return False
        with self._lock:
            if not self._is_listed:
                self.waiting[call] = None
                return True
        return False

    def set_nodes(self, nodes: Sequence[ServerNode]) -> None:
        """The naming service has a new list. In its thread."""
        with self._lock:
            if self._is_closed:
                return
            capacities = self._capacities(nodes)
            for count, capacity in capacities.items():
                known = self._partitionings.get(count)
                if known is None and not capacity:
                    continue
                if known is None:
                    known = self._new_partitioning(count)
                    known.weight = capacity
                    self._partitionings[count] = known
                    self.router.add(known, "")
                known.weight = capacity
            for count in [count for count in self._partitionings if count not in capacities]:
                self.router.remove(self._partitionings.pop(count).channel)
            self.router.has_incomplete = bool(capacities)
            self.router.naming_error = ""
            self.router.refresh()
            self._is_listed = True
            waiting, self.waiting = self.waiting, {}
        for call in waiting:
            call.begin_attempts_soon()

    def note_naming_error(self, error: BaseException) -> None:
        """There is no list now: calls don't wait for the first one. In the thread of the naming
        service."""
        with self._lock:
            self.router.naming_error = safe_str(error) or type(error).__name__
            if self._is_listed or self._waits_for_list or self._is_closed:
                return
            self._is_listed = True
            waiting, self.waiting = self.waiting, {}
        for call in waiting:
            call.begin_attempts_soon()

    def _capacities(self, nodes: Sequence[ServerNode]) -> dict[int, int]:
        """Each number of partitions, and the servers of the partition that has the fewest."""
        servers: dict[int, dict[int, int]] = {}
        for node in nodes:
            try:
                partition = partition_of(node, self._parser)
            except BaseException as error:
                deliver_interrupt(error)
                CLIENT.raised("the partition parser raised for %s", node, error=error)
                continue
            if partition is None or partition[1] > MAX_PARTITIONS:
                continue
            index, count = partition
            indexes = servers.setdefault(count, {})
            indexes[index] = indexes.get(index, 0) + 1
        return {
            count: min(indexes.values()) if len(indexes) == count else 0
            for count, indexes in servers.items()
        }

    def _new_partitioning(self, count: int) -> _Partitioning:
        make: Any = AioPartitionChannel if self._is_aio else PartitionChannel
        return _Partitioning(make(self._servers, count, **self._options))

    def _on_unused(self, entry: SubChannel) -> None:
        channel = entry.channel
        assert isinstance(channel, PartitionBase)
        channel._close()

    def _close(self) -> None:
        super()._close()
        self._stop_watch()
        with self._lock:
            partitionings, self._partitionings = self._partitionings, {}
            waiting, self.waiting = self.waiting, {}
        for entry in partitionings.values():
            self._on_unused(entry)
        for call in waiting:
            call.begin_attempts_soon()


class DynamicPartitionChannel(ThreadsFront, DynamicPartitionBase):
    __doc__ = DynamicPartitionBase.__doc__


class AioDynamicPartitionChannel(LoopsFront, DynamicPartitionBase):
    """`pybrpc.aio.DynamicPartitionChannel`. The options are those of
    `pybrpc.DynamicPartitionChannel`, and those of `pybrpc.aio.Channel`."""

    @property
    def name(self) -> str:
        """The name of its kind, for texts."""
        return "DynamicPartitionChannel"


class _Listener:
    """Gets the lists of a naming service, without keeping the channel."""

    def __init__(self, channel: DynamicPartitionBase) -> None:
        self._channel = weakref.ref(channel)

    def on_servers(self, nodes: tuple[ServerNode, ...]) -> None:
        channel = self._channel()
        if channel is not None:
            channel.set_nodes(nodes)

    def on_naming_error(self, error: BaseException) -> None:
        channel = self._channel()
        if channel is not None:
            channel.note_naming_error(error)
