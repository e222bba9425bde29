"""The processes that the bench starts. They end when their stdin does.

python -m bench.child serve PEER [PORT]       prints its port, and for each line that it reads its
                                              processor time. PORT: of a server to hand requests on
                                              to, instead of answering them
python -m bench.child call PEER WORK WINDOW PORT     prints "begin", "end", and the figures
python -m bench.child flood PEER WORK WINDOW         the same, without a server
python -m bench.child redis CLIENT WORK WINDOW PORT  the same, of a redis-server
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable

from bench.figures import Figures
from bench.meter import Meter, cpu_s
from bench.peers import ENTRIES
from bench.running_server import run_server
from bench.work import Window, parse_work


def serve(peer: str, backend_port: str = "") -> None:
    run_server(ENTRIES[peer], int(backend_port or 0), say, tell_cpu_until_the_end)


def tell_cpu_until_the_end() -> None:
    for _ in sys.stdin:
        say(cpu_s())


def say(what: object) -> None:
    print(what, flush=True)


Run = Callable[..., Figures]


def measure(run: Run, name: str, work: str, window: str, *port: str) -> None:
    times = Window(*json.loads(window))
    say(json.dumps(run(name, parse_work(work), times, Meter(say), *map(int, port))))


RUNS = {
    "call": "bench.client_run:run_client",
    "flood": "bench.flood:run_flood",
    "redis": "bench.redis_clients:run_redis_client",
}
"""Imported when needed, so that no library is where it could disturb another."""


def main(role: str, *arguments: str) -> None:
    if role == "serve":
        serve(*arguments)
        return
    module, name = RUNS[role].split(":")
    try:
        measure(getattr(importlib.import_module(module), name), *arguments)
    except Exception as error:
        traceback.print_exc()
        sys.exit(in_a_line(root_of(error)))


def root_of(error: BaseException) -> BaseException:
    """The first cause of `error`: of a group its first exception, of a cause its cause."""
    while inner := error.exceptions[0] if isinstance(error, ExceptionGroup) else error.__cause__:
        error = inner
    return error


def in_a_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


if __name__ == "__main__":
    main(*sys.argv[1:])
