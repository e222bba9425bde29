"""python -m demo [--seconds S]: a server, and a client that calls it over one connection."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

import pybrpc
from bench.echo_messages import SERVICE
from demo.loads import LOADS, REQUEST, TASKS, THREADS, Tally
from demo.screen import Progress, Row, summary
from pybrpc.transport.socket.statistics import SocketStatistics

SAMPLE_S = 0.25
Load = Callable[[str, float, Tally], None]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="per load (default 6)")
    seconds: float = parser.parse_args().seconds
    console = Console()
    console.print(
        f"[bold]pybrpc {pybrpc.__version__}[/]: a server in a process of its own; then, over one "
        f"TCP connection,\n{THREADS} threads that call and wait, {TASKS} asyncio tasks, and both "
        f"at once, {seconds:g} s each.\n"
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
        finally:
            server.stdin.close()
        served = json.loads(server.stdout.readline())
    console.print()
    console.print(summary(rows, served))
    console.print(
        "\nWritten in place: the calling thread sent its request itself. Handed over: it found "
        "another thread writing and left its request in the queue; that thread sent all that "
        "had gathered in one system call."
    )
    return 1 if any(row.tally.errors for row in rows) else 0


def run_all(address: str, seconds: float, console: Console) -> list[Row]:
    """Every load, one after the other; a channel held open keeps the connection between them."""
    rows = []
    with pybrpc.Channel(address, timeout=5) as channel, Live(console=console) as live:
        pybrpc.Stub(SERVICE, channel).Echo(REQUEST)
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
