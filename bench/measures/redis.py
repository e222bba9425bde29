"""GETs of 32 bytes from one redis-server: pybrpc over one connection, redis-py over its pool."""

from __future__ import annotations

from bench import redis_server
from bench.measures import runs
from bench.measures.measure import Measure
from bench.peers.entry import is_importable
from bench.redis_clients import CLIENTS
from bench.work import RedisGets


def missing(name: str) -> str:
    """Why that client can't take part, or ""."""
    needed = [] if name == "pybrpc" else ["redis"]
    needed += ["hiredis"] if name.endswith("hiredis") else []
    lacking = [module for module in needed if not is_importable(module)]
    return f"{' and '.join(lacking)} not installed" if lacking else redis_server.missing()


MEASURE = Measure(
    name="redis",
    title="GETs of 32 bytes from one redis-server, by threads, and by GETs sent together",
    axis="threads",
    points={
        f"{threads}" + (f", {together} together" if together > 1 else ""): RedisGets(
            threads, together
        )
        for together in (1, 10)
        for threads in (1, 8, 64)
    },
    peers=tuple(CLIENTS),
    run=runs.redis,
    tables=("calls_per_s", "client_cpu_us"),
    missing=missing,
    is_extra=True,
)
