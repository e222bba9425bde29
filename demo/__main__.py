"""python -m demo [--seconds S]: a server, and a client that calls it over one connection."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.syntax import Syntax

import pybrpc
from bench.echo_messages import SERVICE
from demo import usage
from demo.loads import LOADS, REQUEST, TASKS, THREADS, Tally
from demo.screen import Progress, Row, summary
from pybrpc.transport.socket.statistics import SocketStatistics

SAMPLE_S = 0.25
OPEN_S = 60.0
"""How long the pages of the server are there at the end, for a person at a terminal."""

FORMS = {
    "compiled": "compiled (make demo IMPL=python runs plain Python)",
    "python": "plain Python (make demo IMPL=compiled runs faster)",
}
"""The form that runs, for people, by its name."""

Load = Callable[[str, float, Tally], None]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="per load (default 3)")
    parser.add_argument(
        "--open",
        type=float,
        default=OPEN_S if sys.stdout.isatty() else 0.0,
        metavar="S",
        help=f"how long the server stays for a browser (default {OPEN_S:g} in a terminal, else 0)",
    )
    options = parser.parse_args()
    seconds: float = options.seconds
    if not 0 < seconds < float("inf"):
        parser.error("--seconds must be more than 0")
    if not options.open >= 0:
        parser.error("--open must be 0 or more")
    console = Console()
    console.print(f"[bold]pybrpc {pybrpc.__version__}[/], {FORMS[pybrpc.__impl__]}\n")
    console.print(Syntax(usage.source(), "python", background_color="default"))
    console.print(
        "This server runs in a process of its own. It is called over one TCP connection\n"
        f"by {THREADS} threads, {TASKS} asyncio tasks, and both at once, {seconds:g} s each.\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-m", "demo.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        address = f"127.0.0.1:{int(server.stdout.readline())}"
        try:
            rows = run_all(address, seconds, console)
            print(file=server.stdin, flush=True)
            served = json.loads(server.stdout.readline())
            console.print()
            console.print(summary(rows, served))
            console.print(
                "\nWritten in place: the calling thread sent its request itself. Handed over: it "
                "found another thread writing and left its request in the queue; that thread sent "
                "all that had gathered in one system call."
            )
            if options.open > 0:
                keep_open(address, options.open, console)
        finally:
            server.stdin.close()
    return 1 if any(row.tally.errors for row in rows) else 0


def keep_open(address: str, seconds: float, console: Console) -> None:
    """Let people look at the pages of the server. Ctrl-C ends it."""
    console.print(
        f"\nThe pages of this server: [link=http://{address}/]http://{address}/[/link]\n"
        f"and: curl http://{address}/status\n"
        f"They are there for {seconds:g} s; Ctrl-C ends the demo."
    )
    time.sleep(seconds)


def run_all(address: str, seconds: float, console: Console) -> list[Row]:
    """Every load, one after the other; a channel held open keeps the connection between them."""
    with pybrpc.Channel(address, timeout=5) as channel:
        pybrpc.Stub(SERVICE, channel).Echo(REQUEST)
        console.print(f"call(...)              says {usage.call(address)!r}")
        answer = asyncio.run(usage.call_from_a_task(address))
        console.print(f"call_from_a_task(...)  says {answer!r}\n")
        return run_loads(address, channel, seconds, console)


def run_loads(address: str, channel: pybrpc.Channel, seconds: float, console: Console) -> list[Row]:
    """Every load, over the connection of `channel`."""
    rows = []
    with Live(console=console) as live:
        progress = Progress(live)
        for name, load in LOADS.items():
            before = socket_statistics(channel)
            tally = Tally()
            watch(name, load, address, seconds, tally, progress)
            rows.append(Row(name, seconds, tally, before, socket_statistics(channel)))
    return rows


def watch(
    name: str, load: Load, address: str, seconds: float, tally: Tally, progress: Progress
) -> None:
    """Run one load in the background and show how it goes. Ctrl-C ends the demo."""
    runner = threading.Thread(target=load, args=(address, seconds, tally), daemon=True)
    started = seen_at = time.perf_counter()
    runner.start()
    seen = 0
    rates: list[float] = []
    while runner.is_alive():
        runner.join(SAMPLE_S)
        now, count = time.perf_counter(), len(tally.latencies_s)
        if runner.is_alive() or not rates:
            rates.append((count - seen) / (now - seen_at))
        seen, seen_at = count, now
        progress.show(name, min(1.0, (now - started) / seconds), rates)
    progress.keep(name, rates)


def socket_statistics(channel: pybrpc.Channel) -> SocketStatistics:
    statistics = channel.statistics()
    assert statistics is not None
    return statistics.socket


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
