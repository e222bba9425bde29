"""RedisError: a value, among replies, and an exception."""

from __future__ import annotations

import pytest

from pybrpc.errors import PyBrpcError, RpcError
from pybrpc.protocols.redis.redis_error import RedisError


def test_it_is_what_redis_said() -> None:
    error = RedisError("WRONGTYPE Operation against a key")
    assert (error.code, str(error)) == ("WRONGTYPE", "WRONGTYPE Operation against a key")
    assert repr(error) == "<RedisError WRONGTYPE Operation against a key>"
    assert RedisError("NOPERM").code == "NOPERM"


def test_equal_ones_say_the_same() -> None:
    assert RedisError("ERR a") == RedisError("ERR a")
    assert RedisError("ERR a") != RedisError("ERR b")
    assert RedisError("ERR a") != "ERR a"
    assert len({RedisError("ERR a"), RedisError("ERR a"), RedisError("ERR b")}) == 2


def test_it_is_no_failure_of_the_call() -> None:
    with pytest.raises(PyBrpcError) as caught:
        raise RedisError("ERR a")
    assert not isinstance(caught.value, RpcError)
