"""python -m bench.profile: where the time goes in the client and in the server, by cProfile.

Times are processor time; who waits spends none. The profiler makes Python calls dearer and C
calls hardly so: read the shares, not the seconds.
"""

from __future__ import annotations

import argparse
import pstats
import subprocess
import sys

from bench.closed_loop import Window
from bench.loads import Load, Style
from bench.peers import LIBRARIES, peer_for
from bench.processes import measure, running_server
from bench.thread_profiler import ThreadProfiler


def profile_client(library: str, load: Load, window: Window) -> pstats.Stats:
    """The client runs here, under the profiler, the server in a process of its own."""
    with running_server(library, load.style) as port, ThreadProfiler() as profiler:
        rate = peer_for(library, load.style).run_client(load, port, window)
    print(f"Client of {library} with {load}: {rate:,.0f} calls/s under the profiler")
    return profiler.statistics()


def profile_server(library: str, load: Load, window: Window) -> pstats.Stats:
    """The server runs here, under the profiler, the client in a process of its own."""
    ports: list[int] = []
    rates: list[float] = []
    with ThreadProfiler() as profiler:
        peer_for(library, load.style).serve(
            load.style,
            on_ready=ports.append,
            wait_for_end=lambda: rates.append(measure(library, load, ports[0], window)),
        )
    print(f"Server of {library} with {load}: {rates[0]:,.0f} calls/s under the profiler")
    return profiler.statistics()


SIDES = {"client": profile_client, "server": profile_server}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--load", type=Load.parse, default=Load(64, Style.THREADS))
    parser.add_argument("--library", choices=LIBRARIES, default=LIBRARIES[0])
    parser.add_argument("--side", choices=SIDES, help="only this one")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--sort", choices=("tottime", "cumtime", "ncalls"), default="tottime")
    arguments = parser.parse_args()
    if arguments.side is None:
        profile_both()
        return
    window = Window(warm_up_s=0.2, measure_s=arguments.seconds)
    found = SIDES[arguments.side](arguments.library, arguments.load, window)
    found.strip_dirs().sort_stats(arguments.sort).print_stats(arguments.rows)


def profile_both() -> None:
    """Each side in a process of its own, where no thread of the other is left."""
    for side in SIDES:
        command = [sys.executable, "-m", "bench.profile", *sys.argv[1:], "--side", side]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
