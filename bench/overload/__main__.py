"""python -m bench.overload: how limiters behave in the simulated loads of `scenarios`.

With --live a real server instead, in a process of its own, that an open loop calls; with --plots
a picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from bench.overload.limiters import LIMITERS
from bench.overload.live import SLEEP_S, load
from bench.overload.live import capacity_per_s as live_capacity_per_s
from bench.overload.scenarios import SCENARIOS, capacity_per_s
from bench.overload.simulation import simulate

LOADS = (50, 90, 200)


def print_simulated(seed: int) -> None:
    """Print a row for each scenario."""
    print("simulated: goodput in % of capacity / % rejected / p99 in ms")
    print_row("", LIMITERS)
    for name, scenario in SCENARIOS.items():
        cells = []
        for new_limiter in LIMITERS.values():
            outcome = simulate(scenario, new_limiter(), seed)
            goodput = 100 * outcome.goodput_per_s / capacity_per_s(scenario)
            rejected, p99_ms = 100 * outcome.reject_share, 1000 * outcome.latency_s(0.99)
            cells.append(f"{goodput:.1f} / {rejected:.1f} / {p99_ms:.0f}")
        print_row(name, cells)


def measure(seed: int, seconds: float, sleep_s: float) -> None:
    """Print a row for each load."""
    print("a real server: goodput in % of capacity / % rejected / % timed out")
    print_row("", LIMITERS)
    for percent in LOADS:
        cells = []
        for limit in LIMITERS:
            found = load(limit, percent, seconds, sleep_s, seed)
            goodput = 100 * found.in_time / (found.seconds * live_capacity_per_s(sleep_s))
            rejected, timed_out = (
                100 * count / found.arrived for count in (found.rejected, found.timed_out)
            )
            cells.append(f"{goodput:.1f} / {rejected:.1f} / {timed_out:.1f}")
        print_row(f"{percent} %", cells)


def print_row(name: str, cells: Iterable[str]) -> None:
    print(f"{name:38}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of arrivals; default 1")
    parser.add_argument("--live", action="store_true", help="call real servers")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each load, if live")
    parser.add_argument(
        "--sleep", type=float, default=SLEEP_S, help="of a handler, if live; seconds"
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write a picture there instead")
    options = parser.parse_args()
    if options.plots is not None:
        from bench.overload.plots import write_plots

        options.plots.mkdir(parents=True, exist_ok=True)
        write_plots(options.plots, options.seed)
    elif options.live:
        measure(options.seed, options.seconds, options.sleep)
    else:
        print_simulated(options.seed)


if __name__ == "__main__":
    main()
