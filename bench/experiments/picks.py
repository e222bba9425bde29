"""The cost of a pick, and of a new list, with each balancer.

python -m bench.experiments.picks [SERVERS]    default: 100

Processor time of one pick, the best of several rounds, less that of an empty loop; and that of the
picker of a list in which one server is new, by the thread of the naming service. The caller is
Python; in a channel that is compiled, the router calls a pick as a C function, which costs less.

Verdict (2 busy cores, CPython 3.11, 100 servers): compiled, rr takes less than 0.01 us, p2c_ewma
and p2c 0.17, wrr 0.18, random 0.31, wr 0.53, the rings 0.72, la 0.99, and c_murmurhash_bl 1.0 us;
as plain Python rr 0.16 and p2c_ewma 0.82 us. A list with a new server takes 1.6 ms with a ring,
47 ms with maglev, and less than 0.2 ms with the others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pybrpc
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.balancing.registry import KINDS, new_load_balancer
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.server_node import ServerNode

ROUNDS = 15
PICKS = 20_000


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    servers = [server_of(number) for number in range(count + 1)]
    empty_s = best_s(nothing)
    print(f"{count} servers, {pybrpc.__impl__}: us per pick, ms per list")
    for name in KINDS:
        balancer = new_load_balancer(name)
        picker = balancer.new_picker(servers[:-1])
        use(picker, picker.servers)
        pick_s = (best_s(picker.pick) - empty_s) / PICKS
        began_at = time.process_time()
        balancer.new_picker(servers)
        list_s = time.process_time() - began_at
        print(f"{name:<16}{pick_s * 1e6:8.3f}{list_s * 1e3:10.2f}")


def server_of(number: int) -> ClusterServer:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:8000"
    return ClusterServer(ServerNode.parse(address, "1"))


def use(picker: Any, servers: Sequence[ClusterServer]) -> None:
    """Give the balancer a call of each server to learn from."""
    for server in servers:
        server.begin()
        picker.on_begin(server, 1.0)
        server.end()
        picker.on_end(server, 1.0, 1.001, Outcome.SUCCESS, 1.0)


def nothing(tried: tuple[ClusterServer, ...], hash_key: int | None, now: float) -> None: ...


def best_s(pick: Callable[[tuple[ClusterServer, ...], int | None, float], object]) -> float:
    """Seconds of processor time for PICKS of them."""
    best = float("inf")
    for _ in range(ROUNDS):
        began_at = time.process_time()
        for key in range(PICKS):
            pick((), key, 2.0)
        best = min(best, time.process_time() - began_at)
    return best


if __name__ == "__main__":
    main()
