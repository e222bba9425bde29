"""The clients of Redis that are measured, from threads.

redis-py is used as its documentation says: one `Redis` for all threads, whose pool gives each
command, or each pipeline, a connection. With hiredis installed it would take that parser by itself;
both are named here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.closed_loop import Window, run_threads
from bench.loads import TIMEOUT_S

KEY = "key"

Get = Callable[[], str]
"""Gets the value of KEY, as often as the load says, and returns the last one."""


@dataclass(frozen=True, slots=True)
class RedisLoad:
    """So many threads, each of which sends so many GETs together, waits, and does it again."""

    threads: int
    together: int = 1

    def __str__(self) -> str:
        return f"{self.threads} threads" + (f", {self.together} together" * (self.together > 1))

    @classmethod
    def parse(cls, text: str) -> RedisLoad:
        """From "64 threads" or "64 threads, 10 together"; blanks may be dashes."""
        numbers = [int(word) for word in text.replace("-", " ").split() if word.isdigit()]
        return cls(*numbers)


LOADS = tuple(RedisLoad(threads, together) for together in (1, 10) for threads in (1, 8, 64))


@contextlib.contextmanager
def pybrpc_client(port: int, together: int) -> Iterator[Get]:
    from pybrpc.redis import RedisChannel, RedisRequest

    with RedisChannel(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as channel:

        def get_many() -> str:
            request = RedisRequest()
            for _ in range(together):
                request.add("GET", KEY)
            return str(channel.call(request)[-1], "utf-8")

        yield get_many if together > 1 else lambda: str(channel.execute("GET", KEY), "utf-8")


@contextlib.contextmanager
def redis_py_client(port: int, together: int, parser: str) -> Iterator[Get]:
    import redis
    from redis import _parsers

    pool = redis.ConnectionPool(
        host="127.0.0.1",
        port=port,
        socket_timeout=TIMEOUT_S,
        parser_class=getattr(_parsers, parser),
    )
    client: Any = redis.Redis(connection_pool=pool)

    def get_many() -> str:
        pipeline = client.pipeline(transaction=False)
        for _ in range(together):
            pipeline.get(KEY)
        return str(pipeline.execute()[-1], "utf-8")

    yield get_many if together > 1 else lambda: str(client.get(KEY), "utf-8")
    pool.disconnect()


CLIENTS: dict[str, Callable[[int, int], contextlib.AbstractContextManager[Get]]] = {
    "pybrpc": pybrpc_client,
    "redis-py hiredis": lambda port, n: redis_py_client(port, n, "_HiredisParser"),
    "redis-py Python": lambda port, n: redis_py_client(port, n, "_RESP2Parser"),
}


def run_client(library: str, load: RedisLoad, port: int, window: Window) -> float:
    """Commands per second."""
    with CLIENTS[library](port, load.together) as get:
        return run_threads(get, load.threads, window) * load.together
