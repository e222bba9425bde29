"""python -m bench.cluster: what callers see of slow, broken, new and restarted servers.

Prints tables: scenarios by balancer, and scenarios by breaker. `--large` runs one scenario of very
many servers and clients instead, and `--plots DIR` draws pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.cluster import failures
from bench.cluster.results import STEP_S
from bench.cluster.simulation import Simulation
from bench.cluster.tables import (
    BALANCERS,
    BREAKERS,
    balancing_rows,
    channel,
    failure_rows,
    lines,
    subset_lines,
)
from pybrpc.errors import error_name


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--balancers", nargs="+", default=BALANCERS, metavar="NAME", help="as in load_balancer=")
    add(
        "--breakers",
        nargs="+",
        default=tuple(BREAKERS),
        choices=BREAKERS,
        help="off, outlier (the default of channels), ema (that of bRPC)",
    )
    add("--no-budget", action="store_true", help="as many retries as calls want")
    add("--only", default="", metavar="TEXT", help="scenarios with this text in their names")
    add("--list", action="store_true", help="print the names of the scenarios, and run none")
    add("--seed", type=int, default=1, help="of all random numbers; default 1")
    add("--runs", type=int, default=1, help="medians of so many runs, with seeds from --seed on")
    add("--large", action="store_true", help="run one scenario of many servers and clients")
    add("--servers", type=int, default=1000, help="of --large; default 1000")
    add("--clients", type=int, default=10_000, help="of --large; default 10,000")
    add("--subset", type=int, default=20, help="servers of each client of --large; default 20")
    add("--plots", type=Path, metavar="DIR", help="write pictures there, and print no table")
    options = parser.parse_args(arguments)
    if min(options.servers, options.clients, options.subset, options.runs) < 1:
        parser.error("--servers, --clients, --subset and --runs must be at least 1")
    if options.subset > options.servers:
        parser.error("--subset must not be more than --servers")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    if options.plots is not None:
        from bench.cluster.plots import write_plots

        options.plots.mkdir(parents=True, exist_ok=True)
        write_plots(options.plots, options.seed, _say)
    elif options.list:
        for row in balancing_rows() + failure_rows():
            print(row.title)
    elif options.large:
        _run_large(options)
    else:
        _print_tables(options)


def _print_tables(options: argparse.Namespace) -> None:
    seeds = range(options.seed, options.seed + options.runs)
    budget = not options.no_budget
    balancers = {name: channel(name, "off", budget) for name in options.balancers}
    breakers = {
        f"{name}, {breaker}": channel(name, breaker, budget)
        for name in ("rr", "p2c_ewma")
        for breaker in options.breakers
    }
    for rows, columns in ((balancing_rows(), balancers), (failure_rows(), breakers)):
        for line in lines(rows, columns, options.only, seeds, _Progress):
            _clear()
            print(line, flush=True)
    if not options.only:
        print(*subset_lines(), sep="\n")


def _run_large(options: argparse.Namespace) -> None:
    scenario = failures.large(options.servers, options.clients, options.subset)
    began = time.perf_counter()
    simulation = Simulation(scenario, channel(options.balancers[-1]), options.seed)
    results = simulation.run(_Progress(scenario.name))
    _clear()
    codes = ", ".join(
        f"{count} with {error_name(code) if code else 'success'}"
        for code, count in sorted(results.codes.items())
    )
    print(f"{scenario.name}, each with {options.subset} of the servers")
    print(f"{results.calls} calls: {codes}")
    print(f"p50 {results.p50_s * 1e3:.1f} ms, p99 {results.p99_s * 1e3:.1f} ms")
    shares = [share * options.servers for share in results.shares]
    print(f"load of a server: {min(shares):.2f} .. {max(shares):.2f} of the mean")
    for step in range(0, len(results.steps) - 1, 5):
        begun, failed = map(sum, zip(*results.steps[step : step + 5], strict=True))
        print(f"{step * STEP_S:4.1f} s: {100 * failed / max(begun, 1):6.2f} % failed")
    print(f"{time.perf_counter() - began:.0f} s of real time")


class _Progress:
    """Says on stderr how far a long run is: on a terminal in one line, else now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.perf_counter()
        self._says_next = self._began + (0.5 if sys.stderr.isatty() else 5.0)

    def __call__(self, part: float, calls: int) -> None:
        now = time.perf_counter()
        if now >= self._says_next:
            self._says_next = now if sys.stderr.isatty() else now + 5.0
            _say(f"{self._what}: {part:.0%}, {calls} calls, {now - self._began:.0f} s")


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text[:99]:99}", file=sys.stderr, end="", flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print(f"\r{'':99}\r", file=sys.stderr, end="", flush=True)


if __name__ == "__main__":
    main()
