"""How many blocked callers should share a connection, when handlers take 0, 1 and 10 ms?

python -m bench.experiments.blocked_callers [--callers 1 2 4 8 16 64] [--handlers-ms 0 1 10]
    [--types single pooled auto socket] [--rounds 3] [--seconds 0.8]

Threads of one process call over one channel, and wait: over the shared connection (single), over
connections of their own (pooled), as the channel chooses (auto), and over bare sockets (socket).
The server is that of the entry pybrpc; its handler sleeps. The types take turns within a round;
figures are medians of the rounds, percentiles those of all calls of a round.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from bench.callers import Callers, check_answer
from bench.child_process import ChildProcess
from bench.closed_loop import measure
from bench.figures import Figures, digits
from bench.meter import Meter
from bench.peers import ENTRIES
from bench.peers.peer import Call
from bench.schedule import percentile
from bench.site import Site
from bench.work import SMALL_BYTES, Window

TYPES = {
    "single": "pybrpc",
    "pooled": "pybrpc-pooled",
    "auto": "pybrpc-auto",
    "socket": "socket-to-pybrpc",
}
WARM_UP_S = 0.25
COLUMNS = {
    "calls_per_s": ("calls/s", 1),
    "client_cpu_us": ("client µs", 1),
    "server_cpu_us": ("server µs", 1),
    "p50_us": ("p50 ms", 1000),
    "p99_us": ("p99 ms", 1000),
}


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    types = [name for name in given.types if not ENTRIES[TYPES[name]].missing()]
    print(
        "| handler ms | callers | type |", " | ".join(title for title, _ in COLUMNS.values()), "|"
    )
    print("| --- " * (3 + len(COLUMNS)) + "|")
    with Site() as site:
        server = site.server("pybrpc")
        for handler_ms, callers in itertools.product(given.handlers_ms, given.callers):
            found: dict[str, list[Figures]] = {name: [] for name in types}
            for turn in range(given.rounds):
                for name in types[:: -1 if turn % 2 else 1]:
                    found[name].append(run(server, name, callers, handler_ms, given.seconds))
            for name in types:
                print(f"| {handler_ms:g} | {callers} | {name} | {cells(found[name])} |", flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 64])
    parser.add_argument("--handlers-ms", type=float, nargs="+", default=[0, 1, 10])
    parser.add_argument("--types", choices=TYPES, nargs="+", default=list(TYPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.8)
    return parser.parse_args(arguments)


def cells(rounds: list[Figures]) -> str:
    return " | ".join(
        digits(statistics.median(figures[name] for figures in rounds) / divisor)
        for name, (_, divisor) in COLUMNS.items()
    )


def run(server: Any, name: str, callers: int, handler_ms: float, seconds: float) -> Figures:
    """One measurement, in a process of its own."""
    arguments = (TYPES[name], server.port, callers, round(handler_ms * 1000), seconds)
    code = f"from {__spec__.name} import call_inside; call_inside(*{arguments!r})"
    with ChildProcess([sys.executable, "-c", code], {}, f"the client {name}") as client:
        client.read_line()
        before_s = server.cpu_s()
        client.read_line()
        after_s = server.cpu_s()
        figures: Figures = json.loads(client.read_line())
    figures["server_cpu_us"] = (after_s - before_s) / max(1, figures["calls"]) * 1e6
    return figures


def call_inside(peer: str, port: int, count: int, sleep_us: int, seconds: float) -> None:
    """In the client's process: say when it begins and ends, then the figures."""
    meter = Meter(lambda word: print(word, flush=True))
    with ENTRIES[peer].load().client(port) as client:
        figures = time_calls(client, count, sleep_us, Window(WARM_UP_S, seconds), meter)
    print(json.dumps(figures), flush=True)


def time_calls(client: Any, count: int, sleep_us: int, window: Window, meter: Meter) -> Figures:
    """As `closed_loop.run_threads`, with the latency of each call."""
    payload, callers, counters = b"x" * SMALL_BYTES, Callers(), [0] * count
    began_at = time.perf_counter() + window.warm_up_s
    taken_s: list[deque[float]] = [deque() for _ in range(count)]

    def work_of(index: int, call: Call) -> Callable[[], None]:
        clock, note = time.perf_counter, taken_s[index].append

        def call_on() -> None:
            while not callers.stop.is_set():
                started_at = clock()
                call(payload, sleep_us)
                counters[index] += 1
                if started_at >= began_at:
                    note(clock() - started_at)

        return call_on

    check_answer(client.caller()(payload, 0), payload)
    works = [work_of(index, client.caller()) for index in range(count)]
    callers.run_threads(works, lambda: measure(callers, counters, window, meter))
    ordered = sorted(itertools.chain(*taken_s))
    p50_us, p99_us = (percentile(ordered, share) * 1e6 for share in (0.5, 0.99))
    return {**meter.figures(), "p50_us": p50_us, "p99_us": p99_us}


if __name__ == "__main__":
    main()
