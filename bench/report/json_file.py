"""The numbers of a run, each round's, for other programs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from bench.bars import bars
from bench.peers.pybrpc_modes import implementation
from bench.report.result import Result
from bench.samples import Cell, Samples


def write_json(path: Path, result: Result, about: dict[str, Any]) -> None:
    samples = result.samples
    content = {
        "command": result.command,
        "is_complete": result.is_complete,
        "machine": about,
        "rounds": result.plan.rounds,
        "window": dataclasses.asdict(result.plan.window),
        "left_out": dict(result.plan.absent),
        "failures": {str(cell): failure for cell, failure in samples.failures().items()},
        "bars": bar_entries(samples),
        "cells": [cell_entry(cell, samples) for cell in result.plan.cells],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def bar_entries(samples: Samples) -> dict[str, Any]:
    return {
        bar.name: {
            **dataclasses.asdict(spread),
            "expected": bar.expected,
            "is_met": bar.is_met(spread),
        }
        for bar in bars(implementation() == "python")
        if (spread := bar.spread(samples))
    }


def cell_entry(cell: Cell, samples: Samples) -> dict[str, Any]:
    """The figures of a cell, one number a round."""
    names = dict.fromkeys(
        name for sample in samples if sample.cell == cell for name in sample.figures
    )
    figures = {name: samples.values(cell, name) for name in names}
    return {**dataclasses.asdict(cell), "figures": figures}
