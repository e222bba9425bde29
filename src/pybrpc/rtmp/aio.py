"""RTMP for asyncio."""

from __future__ import annotations

from pybrpc.rtmp.client.aio_client import AioRtmpClient as RtmpClient
from pybrpc.rtmp.client.player import AioRtmpPlayer as RtmpPlayer
from pybrpc.rtmp.client.publisher import AioRtmpPublisher as RtmpPublisher
from pybrpc.rtmp.streams.aio_stream import AioRtmpStream as RtmpStream

__all__ = ["RtmpClient", "RtmpPlayer", "RtmpPublisher", "RtmpStream"]


def __dir__() -> list[str]:
    return __all__
