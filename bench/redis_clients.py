"""The clients of Redis that are measured, from threads.

redis-py is used as its documentation says: one `Redis` for all threads, whose pool gives each
command, or each pipeline, a connection. With hiredis installed it would take that parser by itself;
both are named here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from bench.closed_loop import run_threads
from bench.figures import Figures
from bench.meter import Meter
from bench.peers.peer import Call, NoStatistics
from bench.work import SMALL_BYTES, TIMEOUT_S, ClosedLoop, RedisGets, Window

KEY = "key"
VALUE = b"x" * SMALL_BYTES

Get = Callable[[], bytes]
"""Gets the value of KEY, as often as the work says, and returns the last one."""


@contextlib.contextmanager
def pybrpc_client(port: int, together: int) -> Iterator[Get]:
    from pybrpc.redis import RedisChannel, RedisRequest

    with RedisChannel(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as channel:

        def get_many() -> bytes:
            request = RedisRequest()
            for _ in range(together):
                request.add("GET", KEY)
            return bytes(channel.call(request)[-1])

        yield get_many if together > 1 else lambda: bytes(channel.execute("GET", KEY))


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

    def get_many() -> bytes:
        pipeline = client.pipeline(transaction=False)
        for _ in range(together):
            pipeline.get(KEY)
        return bytes(pipeline.execute()[-1])

    yield get_many if together > 1 else lambda: bytes(client.get(KEY))
    pool.disconnect()


CLIENTS: dict[str, Callable[[int, int], contextlib.AbstractContextManager[Get]]] = {
    "pybrpc": pybrpc_client,
    "redis-py-hiredis": lambda port, n: redis_py_client(port, n, "_HiredisParser"),
    "redis-py-python": lambda port, n: redis_py_client(port, n, "_RESP2Parser"),
}


class Gets(NoStatistics):
    """A client whose calls get the value."""

    def __init__(self, get: Get) -> None:
        self._get = get

    def caller(self) -> Call:
        return lambda payload, sleep_us: self._get()


def run_redis_client(
    name: str, work: RedisGets, window: Window, meter: Meter, port: int
) -> Figures:
    """GETs count as calls."""
    with CLIENTS[name](port, work.together) as get:
        found = run_threads(Gets(get), ClosedLoop(work.threads), window, meter)
    return {
        "calls": found["calls"] * work.together,
        "calls_per_s": found["calls_per_s"] * work.together,
        "client_cpu_us": found["client_cpu_us"] / work.together,
    }
