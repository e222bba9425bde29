"""What the bench shows: a table that grows while it runs, and a file for other programs."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.contest import Contest
from bench.rounds import Plan, Samples, Spread


def table(plan: Plan, samples: Samples) -> Table:
    """The rate of each library and the ratios, one row a load: median [low..high].

    With more than two libraries the rates are medians alone, or it would be wider than a terminal.
    """
    contest = plan.contest
    ours, *others = contest.libraries
    is_wide = len(others) > 1
    grid = Table(title=f"{contest.title}: median [low..high]")
    grid.add_column("in flight")
    for library in contest.libraries:
        grid.add_column(f"{library}\n1000 {contest.unit}/s", justify="right")
    for other in others:
        grid.add_column(f"{ours} / {other}\ntimes as fast", justify="right", min_width=13)
    for load in plan.loads:
        rates = [samples.rates(load, library) for library in contest.libraries]
        ratios = [samples.ratios(load, ours, other) for other in others]
        thousands = [[rate / 1000 for rate in numbers] for numbers in rates]
        rate_text = median_text if is_wide else text
        grid.add_row(str(load), *map(rate_text, thousands), *map(text, ratios))
    return grid


def text(numbers: Sequence[float]) -> str:
    """ "26.1 [25.3..27.0]", or nothing while there are no numbers."""
    if not numbers:
        return ""
    spread = Spread.of(numbers)
    return f"{digits(spread.median)} [{digits(spread.low)}..{digits(spread.high)}]"


def median_text(numbers: Sequence[float]) -> str:
    return digits(Spread.of(numbers).median) if numbers else ""


def digits(number: float) -> str:
    return f"{number:#.3g}".rstrip(".")


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """On what it ran. No name of a machine or a user."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: metadata.version(name) for name in packages},
    }


def write_json(path: Path, plan: Plan, samples: Samples) -> None:
    content = {
        "machine": machine(plan.contest.packages),
        "window": dataclasses.asdict(plan.window),
        "rounds": plan.rounds,
        "loads": [load_entry(plan.contest, load, samples) for load in plan.loads],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def load_entry(contest: Contest[Any], load: Any, samples: Samples) -> dict[str, Any]:
    ours, *others = contest.libraries
    return {
        "load": str(load),
        f"{contest.unit}_per_s": {
            name: entry(samples.rates(load, name)) for name in contest.libraries
        },
        "ratio_to": {name: entry(samples.ratios(load, ours, name)) for name in others},
    }


def entry(numbers: Sequence[float]) -> dict[str, Any]:
    return {**dataclasses.asdict(Spread.of(numbers)), "rounds": list(numbers)}
