"""Partitions of a cluster: which server holds which part, by its tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.cluster_options import NamedFilter
from pybrpc.client.channel.servers import Servers
from pybrpc.naming import ServerNode

Parser = Callable[[str], "tuple[int, int] | None"]
"""Gets the tag of a server; returns index and count of its partition, or `None`."""

ServerFilter = Callable[[ServerNode], object]


def partition_of(node: ServerNode, parser: Parser | None) -> tuple[int, int] | None:
    """Index and count of the partition that a server holds, 0 <= index < count; `None`: it holds
    none. Raises what `parser` raises."""
    if parser is None:
        return node.partition
    parsed: Any = parser(node.tag)
    if not isinstance(parsed, tuple) or len(parsed) != 2:
        return None
    index, count = parsed
    if not isinstance(index, int) or not isinstance(count, int) or not 0 <= index < count:
        return None
    return index, count


def only(
    index: int, count: int, parser: Parser | None, server_filter: ServerFilter | None
) -> ServerFilter:
    """The filter of the servers that hold this partition."""

    def accept(node: ServerNode) -> bool:
        if server_filter is not None and not server_filter(node):
            return False
        return partition_of(node, parser) == (index, count)

    return NamedFilter(accept, f" of partition {index}/{count}")


def kept(servers: Servers) -> str | tuple[str | Endpoint | ServerNode, ...]:
    """`servers`, which may be used several times."""
    return servers if isinstance(servers, str) or not isinstance(servers, Iterable) else (*servers,)


def release(channel: Channel | AioChannel) -> None:
    """Close a channel. Any thread, never blocks."""
    channel._release()
    if isinstance(channel, AioChannel):
        channel.open_binding = None
    else:
        channel.open_source = None
