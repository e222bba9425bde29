"""RedisOptions: the keyword options of both Redis channels."""

from __future__ import annotations

import dataclasses
from typing import Literal, cast

from pybrpc.base.checked_options import checked_flag, checked_instance_or_none
from pybrpc.base.named_options import check_names, defaults_of
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.client.channel.options import CHANNEL_DEFAULTS, ChannelOptions
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.protocols.redis import RedisLogin, check_hiredis
from pybrpc.protocols.redis.reply_parser import DEFAULT_MAX_REPLY_BYTES
from pybrpc.redis.redis_connection_factory import (
    RETRY_WHAT_HAS_NOT_LEFT,
    RedisConnectionFactory,
    safe_policy,
)

_MEANINGLESS = {
    "backup_request_ms": "it would run commands twice",
    "backup_request_policy": "it would run commands twice",
    "auth": "a channel to Redis logs in by username= and password=",
    "health_check": "it calls a method; a connection to Redis is up once it has logged in",
    "compress_type": "Redis takes commands as they are",
    "checksum_type": "Redis takes commands as they are",
    "checksum_with_attachment": "Redis takes commands as they are",
    "interceptors": "they see calls of methods, and Redis has commands",
    "max_streams_unconsumed_bytes": "Redis has no streams",
    "json_options": "Redis has no messages",
}


class RedisOptions(ChannelOptions, total=False):
    """The options of `pybrpc.Channel`, and those that `RedisChannel` explains."""

    username: str | None
    password: str | None
    db: int
    client_name: str
    protocol: Literal[2, 3]  # type: ignore[misc]  # RESP's version, instead of bRPC's protocol
    decode: bool


REDIS_DEFAULTS = {
    **CHANNEL_DEFAULTS,
    **defaults_of(RedisLogin),
    "decode": False,
    "max_body_size": DEFAULT_MAX_REPLY_BYTES,
}
"""The default of each option."""


@dataclasses.dataclass(frozen=True, slots=True)
class RedisSettings:
    """RedisOptions, checked and sorted by the parts that use them."""

    login: RedisLogin
    decode: bool
    channel: ChannelOptions

    @classmethod
    def of(cls, options: RedisOptions) -> RedisSettings:
        """MissingExtraError if hiredis is not installed; ValueError if an option is not allowed."""
        check_hiredis()
        check_names("RedisChannel", options, RedisOptions)
        left = dict(options)
        for name, reason in _MEANINGLESS.items():
            if left.get(name) not in (None, ()):
                raise ValueError(f"leave out {name}: {reason}")
        names = {field.name for field in dataclasses.fields(RedisLogin)}
        given = {name: left.pop(name) for name in names & left.keys()}
        decode = checked_flag("decode", left.pop("decode", False))
        left.setdefault("max_body_size", DEFAULT_MAX_REPLY_BYTES)
        given_policy = options.get("retry_policy")
        policy = checked_instance_or_none("retry_policy", given_policy, RetryPolicy)
        policy = policy or RETRY_WHAT_HAS_NOT_LEFT
        left["retry_policy"] = safe_policy(policy)
        return cls(RedisLogin(**given), decode, cast(ChannelOptions, left))  # type: ignore[arg-type]

    def connection_factory(self, like: ConnectionFactory) -> RedisConnectionFactory:
        """A factory of connections to Redis, to the endpoint and with the options of `like`."""
        fields = {field.name: getattr(like, field.name) for field in dataclasses.fields(like)}
        return RedisConnectionFactory(**fields, login=self.login)
