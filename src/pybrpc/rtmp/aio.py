"""RTMP for asyncio."""

from __future__ import annotations

from pybrpc.rtmp.aio_client import AioRtmpClient as RtmpClient
from pybrpc.rtmp.aio_stream import AioRtmpStream as RtmpStream
from pybrpc.rtmp.player import AioRtmpPlayer as RtmpPlayer
from pybrpc.rtmp.publisher import AioRtmpPublisher as RtmpPublisher

__all__ = ["RtmpClient", "RtmpPlayer", "RtmpPublisher", "RtmpStream"]


def __dir__() -> list[str]:
    return __all__
