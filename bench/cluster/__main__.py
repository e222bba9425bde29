"""python -m bench.cluster: what each balancer makes of slow, broken and new servers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from bench.cluster import scenarios
from bench.cluster.faults import FaultKind
from bench.cluster.results import Results
from bench.cluster.scenario import Scenario
from bench.cluster.simulation import simulate
from bench.cluster.subset_loads import CASES, WAYS, loads

BALANCERS = ("rr", "random", "la", "p2c", "p2c_ewma")


def _p99(results: Results) -> str:
    return f"{results.p99_s * 1e3:.1f}"


def _failed(results: Results) -> str:
    return f"{results.failed_share * 100:.2f}"


def _last_share(results: Results) -> str:
    return f"{results.shares[-1] * 100:.2f}"


ROWS: tuple[tuple[Scenario, str, Callable[[Results], str]], ...] = (
    (scenarios.STEADY, "p99, ms", _p99),
    (scenarios.one_slow(), "p99, ms", _p99),
    (scenarios.half_slow(), "p99, ms", _p99),
    (scenarios.antagonists(), "p99, ms", _p99),
    (scenarios.newcomer(2), "its calls, %", _last_share),
    (scenarios.newcomer(9), "its calls, %", _last_share),
    (scenarios.broken(), "failed, %", _failed),
    (scenarios.broken(FaultKind.BLACK_HOLE), "failed, %", _failed),
    (scenarios.broken(FaultKind.FLAPS), "failed, %", _failed),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of scenarios and balancers, and one of subsets."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--balancers", nargs="+", default=BALANCERS, help="as in load_balancer=")
    parser.add_argument("--only", default="", help="scenarios with this text in their names")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    print(f"{'':42}" + "".join(f"{name:>14}" for name in options.balancers))
    for scenario, unit, figure in ROWS:
        title = f"{scenario.name} ({unit})"
        if options.only not in title:
            continue
        print(f"{title:42}", end="", flush=True)
        for name in options.balancers:
            print(f"{figure(simulate(scenario, name, options.seed)):>14}", end="", flush=True)
        print()
    if not options.only:
        _print_subsets()


def _print_subsets() -> None:
    print("\nLoad of servers by subsets, least and most as a multiple of the mean")
    for clients, servers, size in CASES:
        print(f"{clients} clients, {servers} servers, {size} each: ", end="")
        for way in WAYS:
            found = loads(way, clients, servers, size)
            print(f"  {way} {min(found):.2f} .. {max(found):.2f}", end="")
        print()


if __name__ == "__main__":
    main()
