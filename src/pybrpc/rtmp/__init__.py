"""RTMP: live audio and video over one connection, published by one side and played by others.

`Frame` is a message of audio, video or metadata; `FlvReader` and `FlvWriter` keep them in files.
`RtmpService` is what a server does with streams, `RtmpRelay` one that gives what is published to
all who play it. `RtmpClient` publishes and plays on a server; `RtmpPublisher` and `RtmpPlayer` do
so and connect again when they have to. All of them for asyncio are in `aio`.

`stream_core` is a stream without any form of waiting, `stream` and `aio_stream` are its forms for
threads and for asyncio. `connection` is the part of a connection that clients and servers share.
"""

from __future__ import annotations

from pybrpc.protocols.rtmp.flv import FlvError
from pybrpc.rtmp import aio
from pybrpc.rtmp.client.options import RtmpOptions
from pybrpc.rtmp.client.player import RtmpPlayer
from pybrpc.rtmp.client.publisher import RtmpPublisher
from pybrpc.rtmp.client.reconnecting import ReconnectPolicy
from pybrpc.rtmp.client.rtmp_client import RtmpClient
from pybrpc.rtmp.client.url import RtmpUrl, parse_rtmp_url
from pybrpc.rtmp.flv_files import FlvReader, FlvWriter
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay.relay_link import RelayLink
from pybrpc.rtmp.relay.relay_values import (
    RelayEvent,
    RelayPlayerStatistics,
    RelayRequest,
    RelayStatistics,
    RelayStreamStatistics,
)
from pybrpc.rtmp.relay.rtmp_relay import RtmpRelay
from pybrpc.rtmp.server.connect_info import RtmpConnectInfo, RtmpRefused
from pybrpc.rtmp.server.server_stream import AioRtmpServerStream, RtmpServerStream
from pybrpc.rtmp.server.service import RtmpService
from pybrpc.rtmp.streams.stream import RtmpStream

__all__ = [
    "AioRtmpServerStream",
    "FlvError",
    "FlvReader",
    "FlvWriter",
    "Frame",
    "ReconnectPolicy",
    "RelayEvent",
    "RelayLink",
    "RelayPlayerStatistics",
    "RelayRequest",
    "RelayStatistics",
    "RelayStreamStatistics",
    "RtmpClient",
    "RtmpConnectInfo",
    "RtmpOptions",
    "RtmpPlayer",
    "RtmpPublisher",
    "RtmpRefused",
    "RtmpRelay",
    "RtmpServerStream",
    "RtmpService",
    "RtmpStream",
    "RtmpUrl",
    "aio",
    "parse_rtmp_url",
]


def __dir__() -> list[str]:
    return __all__
