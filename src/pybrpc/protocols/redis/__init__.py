"""The client side of the protocol of Redis, RESP2 and RESP3.

`pack_command` packs requests. `ReplyScanner` finds replies, `ReplyParser` converts them to Python
values, and `RedisCutter` cuts them off a connection. `RedisHandshake` logs in.
"""

from pybrpc.protocols.redis.command import Argument, pack_command
from pybrpc.protocols.redis.redis_handshake import RedisHandshake, RedisLogin
from pybrpc.protocols.redis.reply_parser import (
    BadReply,
    RedisCutter,
    RedisError,
    RedisPush,
    Reply,
    check_hiredis,
)

__all__ = [
    "Argument",
    "BadReply",
    "RedisCutter",
    "RedisError",
    "RedisHandshake",
    "RedisLogin",
    "RedisPush",
    "Reply",
    "check_hiredis",
    "pack_command",
]
