"""python -m bench.profile: where the time goes in the client and in the server, by cProfile.

Times are processor time; who waits spends none. The profiler makes Python calls dearer and C
calls hardly so: read the shares, not the seconds. Compiled modules don't show in it:
PYBRPC_IMPL=python.
"""

from __future__ import annotations

import argparse
import pstats
import subprocess
import sys

from bench.client_process import run_client_process
from bench.client_run import run_client
from bench.figures import Figures
from bench.meter import Meter
from bench.peers import ENTRIES
from bench.running_server import run_server
from bench.site import Site
from bench.thread_profiler import ThreadProfiler
from bench.work import SMALL_BYTES, ClosedLoop, Window


def profile_client(peer: str, work: ClosedLoop, window: Window) -> pstats.Stats:
    """The client runs here, under the profiler, the server in a process of its own."""
    with Site() as site:
        port = site.server(ENTRIES[peer].server or peer).port
        with ThreadProfiler() as profiler:
            tell("Client", peer, run_client(peer, work, window, Meter(), port))
    return profiler.statistics()


def profile_server(peer: str, work: ClosedLoop, window: Window) -> pstats.Stats:
    """The server runs here, under the profiler, the client in a process of its own."""
    ports: list[int] = []

    def call_from_elsewhere() -> None:
        tell("Server", peer, run_client_process("call", peer, work, window, ports[0]))

    with ThreadProfiler() as profiler:
        server = ENTRIES[ENTRIES[peer].server or peer]
        run_server(server, 0, ports.append, call_from_elsewhere)
    return profiler.statistics()


def tell(side: str, peer: str, figures: Figures) -> None:
    print(f"{side} of {peer}: {figures['calls_per_s']:,.0f} calls/s under the profiler")


SIDES = {"client": profile_client, "server": profile_server}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--peer", choices=ENTRIES, default="pybrpc")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--size", type=int, default=SMALL_BYTES, help="bytes of a message")
    parser.add_argument("--side", choices=SIDES, help="only this one")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--sort", choices=("tottime", "cumtime", "ncalls"), default="tottime")
    arguments = parser.parse_args()
    if arguments.side is None:
        profile_both()
        return
    work = ClosedLoop(arguments.in_flight, arguments.size)
    window = Window(warm_up_s=0.2, measure_s=arguments.seconds)
    found = SIDES[arguments.side](arguments.peer, work, window)
    found.strip_dirs().sort_stats(arguments.sort).print_stats(arguments.rows)


def profile_both() -> None:
    """Each side in a process of its own, where no thread of the other is left."""
    for side in SIDES:
        command = [sys.executable, "-m", "bench.profile", *sys.argv[1:], "--side", side]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
