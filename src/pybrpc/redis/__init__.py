"""pybrpc for Redis: commands from any number of threads and tasks over one connection.

    channel = pybrpc.redis.RedisChannel("127.0.0.1:6379")
    channel.execute("SET", "key", "value")
    response = channel.call(RedisRequest().add("INCR", "n").add("GET", "key"))

Needs the extra `pybrpc[redis]`. `RedisChannel` is for threads, `aio.RedisChannel` for asyncio.
"""

from pybrpc.protocols.redis import Argument, RedisError, Reply
from pybrpc.redis import aio
from pybrpc.redis.redis_channel import RedisChannel
from pybrpc.redis.redis_messages import RedisRequest, RedisResponse

__all__ = [
    "Argument",
    "RedisChannel",
    "RedisError",
    "RedisRequest",
    "RedisResponse",
    "Reply",
    "aio",
]


def __dir__() -> list[str]:
    return __all__
