"""python -m bench.overload: how limiters behave in the simulated loads of `scenarios`.

With --live a real server in a process of its own, called by open loops: see `live`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bench.overload.scenarios import SCENARIOS, capacity_per_s
from bench.overload.simulation import SimulatedServer
from pybrpc.server.limiters.auto_limiter import AutoLimiter
from pybrpc.server.limiters.limiter import ConstantLimiter, Limiter
from pybrpc.server.limiters.timeout_limiter import TimeoutLimiter

LIMITERS: dict[str, Callable[[], Limiter | None]] = {
    "none": lambda: None,
    "12": lambda: ConstantLimiter(12),
    "auto": AutoLimiter,
    "timeout": TimeoutLimiter,
}


def simulate(seed: int) -> None:
    """Print a row for each scenario."""
    print("goodput in % of capacity / % rejected / p99 in ms")
    print(f"{'':38}" + "".join(f"{name:>22}" for name in LIMITERS))
    for name, scenario in SCENARIOS.items():
        cells = []
        for new_limiter in LIMITERS.values():
            outcome = SimulatedServer(scenario, new_limiter(), seed).run()
            goodput = 100 * outcome.goodput_per_s / capacity_per_s(scenario)
            rejected, p99_ms = 100 * outcome.reject_share, 1000 * outcome.latency_s(0.99)
            cells.append(f"{goodput:.1f} / {rejected:.1f} / {p99_ms:.0f}")
        print(f"{name:38}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the simulation; default 1")
    options = parser.parse_args()
    simulate(options.seed)


if __name__ == "__main__":
    main()
