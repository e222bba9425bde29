"""python -m soak.network: calls between two hosts, through every fault of the network.

Each scenario with each load, plain and with TLS, by threads and tasks. Exit code 1 if a call was
lost, completed twice, answered wrongly or run too often, 2 if this machine does not allow it (root,
or `unshare -Urn python -m soak.network`).
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pybrpc
from soak.network import report
from soak.network.cell import Cell, CellResult
from soak.network.half_open import Found, find_half_open
from soak.network.hosted import FORMS
from soak.network.load import LOADS
from soak.network.matrix import run_cells
from soak.network.namespace import why_no_namespaces
from soak.network.scenario import SCENARIOS

SECURITIES = ("plain", "TLS")
IMPLS = ("python", "compiled")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m soak.network",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, choices, defaults in (
        ("scenario", tuple(SCENARIOS), tuple(SCENARIOS)),
        ("load", tuple(LOADS), tuple(LOADS)),
        ("security", SECURITIES, SECURITIES),
        ("form", FORMS, ("threads", "asyncio")),
        ("impl", IMPLS, (pybrpc.__impl__,)),
    ):
        text = f"one or more of: {', '.join(choices)}; by default {', '.join(defaults)}"
        parser.add_argument(
            f"--{name}",
            nargs="+",
            choices=choices,
            default=defaults,
            metavar="NAME",
            help=text.replace("%", "%%"),
        )
    parser.add_argument("--seed", type=int, default=1, help="of faults and callers")
    parser.add_argument("--sample", type=int, help="only so many cells, chosen by the seed")
    parser.add_argument(
        "--half-open",
        action="store_true",
        help="instead: how long the default options take to find a peer that has vanished",
    )
    parser.add_argument("--report", type=Path, help="where the numbers go, as JSON")
    return parser.parse_args(arguments)


def cells_of(options: argparse.Namespace) -> list[Cell]:
    axes = (options.impl, options.scenario, options.security, options.form, options.load)
    cells = [Cell(*names, options.seed) for names in itertools.product(*axes)]
    if options.sample is not None and options.sample < len(cells):
        chosen = random.Random(options.seed).sample(range(len(cells)), options.sample)
        cells = [cells[number] for number in sorted(chosen)]
    return cells


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    reason = why_no_namespaces()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    results: list[CellResult] = []
    found: list[Found] = []
    if options.half_open:
        for security in options.security:
            found += find_half_open(pybrpc.SocketOptions(), security == "TLS")
    else:
        results = run_and_show(cells_of(options), options.seed)
    report.show(results, found)
    if options.report is not None:
        report.write(options.report, results, found)
    return 1 if report.broken(results) or report.late(found) else 0


def run_and_show(cells: list[Cell], seed: int) -> list[CellResult]:
    """A line for each cell as it ends."""
    results, began = [], time.monotonic()
    for number, result in enumerate(run_cells(cells, seed), 1):
        results.append(result)
        wrong = {name: count for name, count in result.must_be_0.items() if count}
        print(
            f"{time.monotonic() - began:6.0f} s  {number}/{len(cells)}  {result.cell}: "
            f"{result.started:,} calls, {result.failed:,} failed"
            + (f"  BROKEN {wrong}" if wrong else ""),
            flush=True,
        )
    return results


if __name__ == "__main__":
    sys.exit(main())
