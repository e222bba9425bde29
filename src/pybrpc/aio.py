"""pybrpc for asyncio. `pybrpc.Stub` and `pybrpc.Server` work with threads and with asyncio."""

from __future__ import annotations

from pybrpc.client.channel.aio_channel import AioChannel as Channel

__all__ = ["Channel"]


def __dir__() -> list[str]:
    return __all__
