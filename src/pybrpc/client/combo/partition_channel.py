"""PartitionChannel: each call goes to one server of each partition of a cluster."""

from __future__ import annotations

from typing import Any, Unpack

from pybrpc.base.checked_options import checked_count, checked_function_or_none
from pybrpc.base.named_options import check_names
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.options import DEFAULT_TIMEOUT_S, ChannelOptions
from pybrpc.client.channel.servers import Servers
from pybrpc.client.combo.combo_channel import LoopsFront, ThreadsFront
from pybrpc.client.combo.parallel_channel import ParallelCore
from pybrpc.client.combo.partitions import Parser, kept, only, release
from pybrpc.client.combo.sub_call import Mapper, Merger

MAX_PARTITIONS = 100_000


class PartitionBase(ParallelCore):
    """A ParallelChannel whose channels are the partitions of a cluster: each call goes to one
    server of each.

    servers            the URL of a naming service, or a list of servers, as for `pybrpc.Channel`
    partition_count    how many partitions there are; servers whose tags say another count are not
                       used
    partition_parser   gets the tag of a server and returns `(index, count)`, or `None`; without it
                       the tag has a word such as "0/4"
    fail_limit, success_limit, mapper, merger, timeout   as of `ParallelChannel`

    All other options are those of `pybrpc.Channel`, for the channels to the partitions. A partition
    without servers fails as that sub call, with ENODATA or EHOSTDOWN. After bRPC's
    PartitionChannel.
    """

    def __init__(
        self,
        servers: Servers,
        partition_count: int,
        *,
        partition_parser: Parser | None = None,
        fail_limit: int | None = None,
        success_limit: int | None = None,
        mapper: Mapper | None = None,
        merger: Merger | None = None,
        **options: Unpack[ChannelOptions],
    ) -> None:
        check_names(f"pybrpc.{self.name}", options, ChannelOptions)
        super().__init__(options.pop("timeout", DEFAULT_TIMEOUT_S), fail_limit, success_limit)
        count = checked_count("partition_count", partition_count, 1, MAX_PARTITIONS)
        parser = checked_function_or_none("partition_parser", partition_parser, "tag")
        given = checked_function_or_none(
            "server_filter", options.pop("server_filter", None), "node"
        )
        where = kept(servers)
        make: Any = AioChannel if self._is_aio else Channel
        for index in range(count):
            accepts = only(index, count, parser, given)
            channel = make(where, timeout=None, server_filter=accepts, **options)
            self._add(self._entry(channel, mapper, merger))

    @property
    def partition_count(self) -> int:
        """How many partitions there are."""
        return len(self.entries)

    def _close(self) -> None:
        super()._close()
        for entry in self.entries:
            if isinstance(entry.channel, Channel | AioChannel):
                release(entry.channel)


class PartitionChannel(ThreadsFront, PartitionBase):
    __doc__ = PartitionBase.__doc__


class AioPartitionChannel(LoopsFront, PartitionBase):
    """`pybrpc.aio.PartitionChannel`. The options are those of `pybrpc.PartitionChannel`, and those
    of `pybrpc.aio.Channel`."""

    @property
    def name(self) -> str:
        """The name of its kind, for texts."""
        return "PartitionChannel"
