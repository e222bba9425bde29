"""RedisError: a value among replies, and an exception."""

from __future__ import annotations

import pytest

from pybrpc.errors import PyBrpcError, RpcError
from pybrpc.protocols.redis.reply_parser import RedisError


def test_redis_error_has_the_text_and_code_of_the_reply() -> None:
    error = RedisError("WRONGTYPE Operation against a key")
    assert (error.code, str(error)) == ("WRONGTYPE", "WRONGTYPE Operation against a key")
    assert repr(error) == "<RedisError WRONGTYPE Operation against a key>"
    assert RedisError("NOPERM").code == "NOPERM"


def test_redis_errors_with_the_same_text_are_equal() -> None:
    assert RedisError("ERR a") == RedisError("ERR a")
    assert RedisError("ERR a") != RedisError("ERR b")
    assert RedisError("ERR a") != "ERR a"
    assert len({RedisError("ERR a"), RedisError("ERR a"), RedisError("ERR b")}) == 2


def test_redis_error_is_no_rpc_error() -> None:
    with pytest.raises(PyBrpcError) as caught:
        raise RedisError("ERR a")
    assert not isinstance(caught.value, RpcError)
