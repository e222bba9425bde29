"""RTMP: live audio and video over one connection, published by one side and played by others.

`Frame` is a message of audio, video or metadata. `RtmpService` is what a server does with streams,
`RtmpRelay` one that gives what is published to all who play it.
`stream_core` is a stream without any form of waiting, `stream` and `aio_stream` are its forms for
threads and for asyncio. `connection` is the part of a connection that clients and servers share.
"""

from __future__ import annotations

from pybrpc.rtmp.connect_info import RtmpConnectInfo, RtmpRefused
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay import RtmpRelay
from pybrpc.rtmp.relay_values import (
    RelayEvent,
    RelayPlayerStatistics,
    RelayRequest,
    RelayStatistics,
    RelayStreamStatistics,
)
from pybrpc.rtmp.server_stream import AioRtmpServerStream, RtmpServerStream
from pybrpc.rtmp.service import RtmpService

__all__ = [
    "AioRtmpServerStream",
    "Frame",
    "RelayEvent",
    "RelayPlayerStatistics",
    "RelayRequest",
    "RelayStatistics",
    "RelayStreamStatistics",
    "RtmpConnectInfo",
    "RtmpRefused",
    "RtmpRelay",
    "RtmpServerStream",
    "RtmpService",
]


def __dir__() -> list[str]:
    return __all__
