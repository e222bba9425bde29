"""RTMP: live audio and video over one connection, published by one side and played by others.

`Frame` is a message of audio, video or metadata. `stream_core` is a stream without any form of
waiting, `stream` and `aio_stream` are its forms for threads and for asyncio. `connection` is the
part of a connection that clients and servers share.
"""

from __future__ import annotations

from pybrpc.rtmp import aio
from pybrpc.rtmp.client import RtmpClient
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.options import RtmpOptions
from pybrpc.rtmp.player import RtmpPlayer
from pybrpc.rtmp.publisher import RtmpPublisher
from pybrpc.rtmp.reconnecting import ReconnectPolicy
from pybrpc.rtmp.stream import RtmpStream
from pybrpc.rtmp.url import RtmpUrl, parse_rtmp_url

__all__ = [
    "Frame",
    "ReconnectPolicy",
    "RtmpClient",
    "RtmpOptions",
    "RtmpPlayer",
    "RtmpPublisher",
    "RtmpStream",
    "RtmpUrl",
    "aio",
    "parse_rtmp_url",
]


def __dir__() -> list[str]:
    return __all__
