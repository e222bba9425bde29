"""RTMP for asyncio."""

from __future__ import annotations

from pybrpc.rtmp.aio_client import AioRtmpClient as RtmpClient
from pybrpc.rtmp.aio_stream import AioRtmpStream as RtmpStream

__all__ = ["RtmpClient", "RtmpStream"]


def __dir__() -> list[str]:
    return __all__
