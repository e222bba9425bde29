"""pybrpc for asyncio. `pybrpc.Stub` and `pybrpc.Server` work with threads and with asyncio."""

from __future__ import annotations

from pybrpc.client.channel.aio_channel import AioChannel as Channel
from pybrpc.client.channel.http_stream import AioHttpBody as HttpBody
from pybrpc.client.channel.http_stream import AioHttpStreamCall as HttpStreamCall
from pybrpc.client.channel.stream_call import AioStreamCall as StreamCall
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


def __dir__() -> list[str]:
    return __all__
