"""GETs of 32 bytes from one redis-server: pybrpc over one connection, redis-py over its pool."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from bench.closed_loop import Window
from bench.contest import Contest, Measure
from bench.loads import MESSAGE
from bench.processes import run_client
from bench.redis_peers import CLIENTS, KEY, LOADS, RedisLoad

START_LIMIT_S = 30.0


@contextlib.contextmanager
def measuring() -> Iterator[Measure[RedisLoad]]:
    """One redis-server for all."""
    with running_server() as port:
        yield lambda library, load, window: measure(library, load, port, window)


def measure(library: str, load: RedisLoad, port: int, window: Window) -> float:
    """Commands per second of one client process."""
    return run_client("redis", library, load, port, window)


@contextlib.contextmanager
def running_server() -> Iterator[int]:
    """The port of a redis-server that stores nothing and knows one key."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        command = ["redis-server", *map(str, options)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                wait_until_it_knows_the_key(port)
                yield port
            finally:
                process.terminate()


def wait_until_it_knows_the_key(port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), START_LIMIT_S) as sock:
                sock.sendall(f"SET {KEY} {MESSAGE}\r\n".encode())
                if sock.recv(100) == b"+OK\r\n":
                    return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)


REDIS = Contest(
    title="GETs of 32 bytes from one redis-server, by threads",
    unit="GETs",
    libraries=tuple(CLIENTS),
    loads=LOADS,
    parse_load=RedisLoad.parse,
    measuring=measuring,
    packages=("pybrpc", "redis", "hiredis"),
)
