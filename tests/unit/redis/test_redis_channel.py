"""The forms of calling of a RedisChannel, over a connection to a server that is played."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from pybrpc.redis import RedisChannel, RedisError, RedisResponse
from tests.fakes.redis import WAIT_S, echoes_last_words, words
from tests.peers.scripted_server import ScriptedServer

NOTHING = object()


@pytest.fixture
def channel() -> Iterator[RedisChannel]:
    with ScriptedServer(echoes_last_words) as server:
        with RedisChannel(server.address, protocol=2, client_name="", timeout=WAIT_S) as made:
            yield made


def test_execute_returns_the_reply_or_raises_it(channel: RedisChannel) -> None:
    assert channel.execute("ECHO", "hello") == b"hello"
    with pytest.raises(RedisError, match="ERR no"):
        channel.execute("ECHO", "FAIL")


def test_errors_are_among_the_replies_of_several_commands(channel: RedisChannel) -> None:
    assert list(channel.call(words("a", "FAIL", "b"))) == [b"a", RedisError("ERR no"), b"b"]


def test_future_gives_the_replies(channel: RedisChannel) -> None:
    futures = [channel.future(words(name)) for name in ("a", "b")]
    assert [future.result(WAIT_S).only() for future in futures] == [b"a", b"b"]


def test_callback_is_called_once(channel: RedisChannel) -> None:
    told: queue.SimpleQueue[tuple[RedisResponse | None, Exception | None]] = queue.SimpleQueue()
    channel.with_callback(words("a"), lambda response, error: told.put((response, error)))
    response, error = told.get(timeout=WAIT_S)
    assert response is not None
    assert (list(response), error) == ([b"a"], None)
    assert told.empty()
