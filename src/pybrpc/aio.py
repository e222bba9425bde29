"""pybrpc for asyncio. `pybrpc.Stub` and `pybrpc.Server` work with threads and with asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.client.channel.aio_channel import AioChannel as Channel
    from pybrpc.client.channel.aio_stream_call import AioStreamCall as StreamCall
    from pybrpc.client.channel.http_stream import AioHttpBody as HttpBody
    from pybrpc.client.channel.http_stream import AioHttpStreamCall as HttpStreamCall
    from pybrpc.client.channel.typed_method import AioTypedMethod as TypedMethod
    from pybrpc.client.channel.typed_stub import AioTypedStub as TypedStub
    from pybrpc.client.combo.dynamic_partition_channel import (
        AioDynamicPartitionChannel as DynamicPartitionChannel,
    )
    from pybrpc.client.combo.parallel_channel import AioParallelChannel as ParallelChannel
    from pybrpc.client.combo.partition_channel import AioPartitionChannel as PartitionChannel
    from pybrpc.client.combo.selective_channel import AioSelectiveChannel as SelectiveChannel

__all__ = [
    "Channel",
    "DynamicPartitionChannel",
    "HttpBody",
    "HttpStreamCall",
    "ParallelChannel",
    "PartitionChannel",
    "SelectiveChannel",
    "StreamCall",
    "TypedMethod",
    "TypedStub",
]

_DEFINED_IN = {
    "Channel": "pybrpc.client.channel.aio_channel:AioChannel",
    "DynamicPartitionChannel": (
        "pybrpc.client.combo.dynamic_partition_channel:AioDynamicPartitionChannel"
    ),
    "HttpBody": "pybrpc.client.channel.http_stream:AioHttpBody",
    "HttpStreamCall": "pybrpc.client.channel.http_stream:AioHttpStreamCall",
    "ParallelChannel": "pybrpc.client.combo.parallel_channel:AioParallelChannel",
    "PartitionChannel": "pybrpc.client.combo.partition_channel:AioPartitionChannel",
    "SelectiveChannel": "pybrpc.client.combo.selective_channel:AioSelectiveChannel",
    "StreamCall": "pybrpc.client.channel.aio_stream_call:AioStreamCall",
    "TypedMethod": "pybrpc.client.channel.typed_method:AioTypedMethod",
    "TypedStub": "pybrpc.client.channel.typed_stub:AioTypedStub",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
