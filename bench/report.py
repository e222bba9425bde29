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

from bench.loads import Load
from bench.peers import LIBRARIES
from bench.rounds import Plan, Samples, Spread


def table(plan: Plan, samples: Samples) -> Table:
    """Calls per second of each library and the ratios, one row a load: median [low..high]."""
    ours, *others = LIBRARIES
    grid = Table(title="Echo of 32 bytes over one connection: median [low..high]")
    grid.add_column("in flight")
    for library in LIBRARIES:
        grid.add_column(f"{library}\n1000 calls/s", justify="right")
    for other in others:
        grid.add_column(f"{ours} / {other}\ntimes as fast", justify="right")
    for load in plan.loads:
        rates = [samples.rates(load, library) for library in LIBRARIES]
        ratios = [samples.ratios(load, other) for other in others]
        thousands = [[rate / 1000 for rate in numbers] for numbers in rates]
        grid.add_row(str(load), *map(text, [*thousands, *ratios]))
    return grid


def text(numbers: Sequence[float]) -> str:
    """ "26.1 [25.3..27.0]", or nothing while there are no numbers."""
    if not numbers:
        return ""
    spread = Spread.of(numbers)
    return f"{digits(spread.median)} [{digits(spread.low)}..{digits(spread.high)}]"


def digits(number: float) -> str:
    return f"{number:#.3g}".rstrip(".")


def machine() -> dict[str, Any]:
    """On what it ran. No name of a machine or a user."""
    packages = (*LIBRARIES, "protobuf", "uvloop")
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: metadata.version(name) for name in packages},
    }


def write_json(path: Path, plan: Plan, samples: Samples) -> None:
    content = {
        "machine": machine(),
        "window": dataclasses.asdict(plan.window),
        "rounds": plan.rounds,
        "loads": [load_entry(load, samples) for load in plan.loads],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def load_entry(load: Load, samples: Samples) -> dict[str, Any]:
    return {
        "load": str(load),
        "calls_per_s": {name: entry(samples.rates(load, name)) for name in LIBRARIES},
        "ratio_to": {name: entry(samples.ratios(load, name)) for name in LIBRARIES[1:]},
    }


def entry(numbers: Sequence[float]) -> dict[str, Any]:
    return {**dataclasses.asdict(Spread.of(numbers)), "rounds": list(numbers)}
