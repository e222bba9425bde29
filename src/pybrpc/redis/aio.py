"""pybrpc for Redis in asyncio."""

from __future__ import annotations

from pybrpc.redis.aio_redis_channel import AioRedisChannel as RedisChannel

__all__ = ["RedisChannel"]


def __dir__() -> list[str]:
    return __all__
