"""The command line of `python -m bench`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.bars import bars, cells_of_bars
from bench.measures import GROUPS, MEASURES
from bench.peers.pybrpc_modes import implementation
from bench.rounds import Plan, cells_of, make_plan
from bench.samples import Cell
from bench.work import Window

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = Path(__file__).parent / "results"
WARM_UP = 0.25
"""The warm-up, as a share of the time that is measured after it."""

DESCRIPTION = """Measure pybrpc and its peers, show a table, write page, plots and numbers.
"quick": only the headline ratios, as lines "name ratio"; takes about a minute."""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=DESCRIPTION)
    parser.add_argument("headlines", nargs="?", choices=["quick"], help="the headline ratios")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*MEASURES, *(group for group in GROUPS if group not in MEASURES)],
        help="this measure, or this group of them; may be repeated",
    )
    parser.add_argument("--peer", action="append", help="this one; may be repeated")
    parser.add_argument("--point", action="append", help="this one; may be repeated")
    parser.add_argument("--rounds", type=int, help="how often each is measured (3)")
    parser.add_argument("--seconds", type=float, help="how long each is measured (0.8)")
    parser.add_argument("--quick", action="store_true", help="one short round; for a first look")
    parser.add_argument(
        "--out", type=Path, help="folder of the page (docs; bench/results if it is not the whole)"
    )
    return parser.parse_args(arguments)


def plan_from(options: argparse.Namespace) -> Plan:
    """SystemExit if nothing of the bench is as `--peer` and `--point` say."""
    rounds, seconds = (3, 0.3) if options.headlines else (1, 0.4) if options.quick else (3, 0.8)
    seconds = options.seconds or seconds
    cells = [cell for cell in wanted_cells(options) if is_wanted(cell, options)]
    if not cells:
        raise SystemExit("no measure has such a peer and such a point; see docs/benchmark.md")
    window = Window(warm_up_s=seconds * WARM_UP, measure_s=seconds)
    return make_plan(cells, options.rounds or rounds, window)


def wanted_cells(options: argparse.Namespace) -> list[Cell]:
    if options.headlines:
        named = asked_for(options)
        cells = cells_of_bars(bars(implementation() == "python"))
        return [cell for cell in cells if cell.measure in named or not is_extra(cell)]
    names = asked_for(options) or [name for name, found in MEASURES.items() if not found.is_extra]
    return [cell for name in names for cell in cells_of(name)]


def is_extra(cell: Cell) -> bool:
    return MEASURES[cell.measure].is_extra


def asked_for(options: argparse.Namespace) -> list[str]:
    """The measures that `--only` names, each once."""
    named = [GROUPS.get(name, [name]) for name in options.only or []]
    return list(dict.fromkeys(name for names in named for name in names))


def is_wanted(cell: Cell, options: argparse.Namespace) -> bool:
    named = not options.only or cell.measure in asked_for(options)
    is_peer = not options.peer or cell.peer in options.peer
    return named and is_peer and (not options.point or cell.point in options.point)


def is_whole(options: argparse.Namespace) -> bool:
    return not (options.only or options.peer or options.point or options.quick)


def out_folder(options: argparse.Namespace, is_complete: bool) -> Path:
    """Where the page goes. An incomplete run doesn't replace the one in the documentation."""
    chosen: Path | None = options.out
    return chosen or (DOCS if is_complete and is_whole(options) else RESULTS)
