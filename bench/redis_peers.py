"""Redis from threads: pybrpc over one connection, redis-py over its pool, in one run.

python -m bench.redis_peers [--quick] [--rounds N] [--seconds S]

One redis-server for all; each measurement is a process of its own. In every round each library has
its turn with each load, so a ratio compares neighbours. redis-py is used as its documentation says:
one `Redis` for all threads, whose pool gives each command a connection.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.closed_loop import Window, run_threads
from bench.loads import MESSAGE, TIMEOUT_S
from bench.rounds import Spread

RESULTS = Path(__file__).parent / "results" / "redis.json"
PIPELINE = 10
START_LIMIT_S = 30.0

Get = Callable[[], str]


@dataclass(frozen=True, slots=True)
class RedisLoad:
    """So many threads, each of which sends so many GETs together, waits, and does it again."""

    threads: int
    commands: int = 1

    def __str__(self) -> str:
        together = f", {self.commands} GETs together" if self.commands > 1 else ""
        return f"{self.threads} threads{together}"


LOADS = [RedisLoad(threads, commands) for commands in (1, PIPELINE) for threads in (1, 8, 64)]


@contextlib.contextmanager
def pybrpc_client(port: int, commands: int) -> Iterator[Get]:
    from pybrpc.redis import RedisChannel, RedisRequest

    with RedisChannel(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as channel:

        def get_many() -> str:
            request = RedisRequest()
            for _ in range(commands):
                request.add("GET", "key")
            return str(channel.call(request)[-1], "utf-8")

        yield get_many if commands > 1 else lambda: str(channel.execute("GET", "key"), "utf-8")


@contextlib.contextmanager
def redis_py_client(port: int, commands: int, parser: str) -> Iterator[Get]:
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
        for _ in range(commands):
            pipeline.get("key")
        return str(pipeline.execute()[-1], "utf-8")

    yield get_many if commands > 1 else lambda: str(client.get("key"), "utf-8")
    pool.disconnect()


CLIENTS: dict[str, Callable[[int, int], contextlib.AbstractContextManager[Get]]] = {
    "pybrpc": pybrpc_client,
    "redis-py, hiredis": lambda port, n: redis_py_client(port, n, "_HiredisParser"),
    "redis-py, Python": lambda port, n: redis_py_client(port, n, "_RESP2Parser"),
}


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
                sock.sendall(f"SET key {MESSAGE}\r\n".encode())
                if sock.recv(100) == b"+OK\r\n":
                    return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)


def measure(library: str, load: RedisLoad, port: int, window: Window) -> float:
    """Commands per second of one client process."""
    arguments = [library, load.threads, load.commands, port, window.warm_up_s, window.measure_s]
    command = [sys.executable, "-m", "bench.redis_peers", "--client", *map(str, arguments)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def run_client(library: str, threads: str, commands: str, port: str, *window: str) -> None:
    """The child: prints commands per second."""
    with CLIENTS[library](int(port), int(commands)) as get:
        requests_per_s = run_threads(get, int(threads), Window(*map(float, window)))
    print(requests_per_s * int(commands))


Rates = dict[tuple[RedisLoad, str], list[float]]


def run(rounds: int, window: Window) -> Rates:
    rates: Rates = {(load, library): [] for load in LOADS for library in CLIENTS}
    with running_server() as port:
        for number in range(rounds):
            for load in LOADS:
                for library in list(CLIENTS)[:: -1 if number % 2 else 1]:
                    rates[load, library].append(measure(library, load, port, window))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return rates


def report(rates: Rates) -> list[dict[str, Any]]:
    """For each load the spread of each library's rate, and of the ratio to it, round by round."""
    ours, *others = CLIENTS
    entries = []
    for load in LOADS:
        ratios = {
            other: [a / b for a, b in zip(rates[load, ours], rates[load, other], strict=True)]
            for other in others
        }
        entries.append(
            {
                "load": str(load),
                "commands_per_s": {name: spread(rates[load, name]) for name in CLIENTS},
                "ratio_to": {name: spread(numbers) for name, numbers in ratios.items()},
            }
        )
    return entries


def spread(numbers: list[float]) -> dict[str, float]:
    found = Spread.of(numbers)
    return {"median": found.median, "low": found.low, "high": found.high}


def show(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        rates = (f"{name} {s['median']:,.0f}/s" for name, s in entry["commands_per_s"].items())
        ratios = (
            f"{s['median']:.2f} [{s['low']:.2f}..{s['high']:.2f}] times {name}"
            for name, s in entry["ratio_to"].items()
        )
        print(f"{entry['load']}: {', '.join(rates)}; {', '.join(ratios)}")


def main() -> None:
    if sys.argv[1:2] == ["--client"]:
        run_client(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m bench.redis_peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; for a first look")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=float, help="how long each is measured (2.0)")
    arguments = parser.parse_args()
    rounds, seconds = (1, 0.5) if arguments.quick else (5, 2.0)
    seconds = arguments.seconds or seconds
    entries = report(run(arguments.rounds or rounds, Window(seconds / 4, seconds)))
    show(entries)
    versions = {name: metadata.version(name) for name in ("pybrpc", "redis", "hiredis")}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"versions": versions, "loads": entries}, indent=2) + "\n")


if __name__ == "__main__":
    main()
