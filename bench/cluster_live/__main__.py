"""python -m bench.cluster_live: real servers that misbehave, and what callers notice of it.

Every client calls at the same fixed rate, but C++ bRPC's, if BRPC_CPP_BIN names it, as fast as four
threads can. A second table is of calls that are tried again: max_retry=3, backup requests, and
EINTERNAL among the codes that are retried.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from bench.child_process import ChildFailedError
from bench.cluster_live.callers import CLIENTS, missing
from bench.cluster_live.scenarios import SCENARIOS, Found, Load, can_run, run

RATE = 400.0
COLUMNS = (
    "client",
    "calls",
    "attempts",
    "failed",
    "failed later",
    "p50 before, ms",
    "p50, ms",
    "p99 before, ms",
    "p99, ms",
    "errors",
)


def cells_of(found: Found) -> list[str]:
    """Those of a row, after the client."""
    outcome = found.outcome
    later = outcome.after
    share = 100 * later.failed / later.calls if later.calls else 0.0
    return [
        f"{outcome.calls:,}",
        f"{outcome.attempts:,}" if outcome.attempts else "-",
        f"{outcome.failed:,}",
        f"{later.failed:,} ({share:.2f} %)",
        *(
            "-" if math.isnan(value) else f"{value:.1f}"
            for value in (
                outcome.before.p50_ms,
                later.p50_ms,
                outcome.before.p99_ms,
                later.p99_ms,
            )
        ),
        ", ".join(f"{count} {name}" for name, count in outcome.errors.items()),
    ]


def print_row(cells: Sequence[str], is_markdown: bool) -> None:
    if is_markdown:
        print(f"| {' | '.join(cells)} |", flush=True)
    else:
        first, second, *rest = cells
        print(f"{first:28}{second:22}" + "".join(f"{cell:>16}" for cell in rest), flush=True)


def print_table(options: argparse.Namespace, load: Load) -> None:
    """A row for each scenario and client."""
    print(f"\n{'With' if load.retries else 'Without'} retries\n")
    print_row(["scenario", *COLUMNS], options.markdown)
    if options.markdown:
        print_row(["---"] * (len(COLUMNS) + 1), True)
    for name, scenario in SCENARIOS.items():
        if options.only not in name:
            continue
        for client in CLIENTS:
            if options.client not in client.name or missing(client):
                continue
            cells = ["-"] * (len(COLUMNS) - 1)
            if can_run(scenario, client):
                try:
                    cells = cells_of(run(scenario, client, load))
                except (ChildFailedError, TimeoutError) as error:
                    cells[0] = str(error)
            print_row([name, client.name, *cells], options.markdown)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster_live", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios with this text in their names")
    parser.add_argument("--client", default="", help="clients with this text in their names")
    parser.add_argument("--rate", type=float, default=RATE, help="calls per second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a fault, at that rate")
    parser.add_argument("--markdown", action="store_true", help="print tables of Markdown")
    for name in ("without", "with"):
        parser.add_argument(f"--{name}-retries-only", action="store_true", help="one table only")
    options = parser.parse_args(arguments)
    for retries in (False, True):
        if not (options.with_retries_only, options.without_retries_only)[retries]:
            calls = round(options.rate * options.seconds)
            print_table(options, Load(options.rate, round(3 * options.rate), calls, 1.0, retries))
    for client in CLIENTS:
        if missing(client):
            print(f"\nWithout {client.name}: {missing(client)}")


if __name__ == "__main__":
    main()
