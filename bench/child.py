"""The processes that the bench starts. They end when their stdin does.

python -m bench.child serve PEER [PORT]       prints its port, and for each line that it reads its
                                              processor time. PORT: of a server to hand requests on
                                              to, instead of answering them
python -m bench.child call PEER WORK WINDOW PORT     prints "begin", "end", and the figures
python -m bench.child flood PEER WORK WINDOW         the same, without a server
python -m bench.child redis CLIENT WORK WINDOW PORT  the same, of a redis-server
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from bench.client_run import run_client
from bench.figures import Figures
from bench.flood import run_flood
from bench.meter import Meter, cpu_s
from bench.peers import ENTRIES
from bench.redis_clients import run_redis_client
from bench.server_run import run_server
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


RUNS: dict[str, Run] = {"call": run_client, "flood": run_flood, "redis": run_redis_client}


def main(role: str, *arguments: str) -> None:
    if role == "serve":
        serve(*arguments)
    else:
        measure(RUNS[role], *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
