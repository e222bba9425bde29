"""The output of a run, on the screen (with rich if it is installed) and in files."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pybrpc
from soak.network.cell import MUST_BE_0, CellResult
from soak.network.half_open import PROMISED_S, Found
from soak.network.matrix import totals_by_scenario

PACKET_FAULTS = (
    "lost", "delayed", "reordered", "duplicated", "corrupted", "cut", "overflowed", "unwanted",
)  # fmt: skip
TOLD = ("lost", "told_twice", "wrong")
CALLS = ("started", "answered", "failed")


def show(results: Sequence[CellResult], found: Sequence[Found]) -> None:
    """Tables of everything, and the verdict."""
    rows = totals_by_scenario(results)
    if rows:
        _table(
            f"{len(results)} cells: calls",
            ["fault", "packets", *CALLS, "lost", "twice", "wrong", "other"],
            [_row(name, numbers) for name, numbers in rows.items()],
        )
        _table(
            "Failed with",
            ["fault", "errors, by phase"],
            [[name, _errors(numbers)] for name, numbers in rows.items()],
        )
    if found:
        _table(
            "Peers that vanished without a word",
            ["side", "state", "over", "found after", "error"],
            [
                [each.side, each.state, each.security, f"{each.seconds:.1f} s", each.error]
                for each in found
            ],
        )
    for text in [*broken(results), *late(found)]:
        print(f"BROKEN  {text}")


def broken(results: Iterable[CellResult]) -> list[str]:
    """Counts that must be 0 and are not, by cell."""
    return [
        f"{result.cell}: {_words(name)} {number} {'; '.join(result.notes[:2])}"
        for result in results
        for name, number in result.must_be_0.items()
        if number
    ]


def late(found: Iterable[Found]) -> list[str]:
    """Connections that were given up later than is promised."""
    return [
        f"{each.side}, {each.state} over {each.security}: found after {each.seconds:.1f} s"
        for each in found
        if each.seconds > PROMISED_S
    ]


def write(path: Path, results: Sequence[CellResult], found: Sequence[Found]) -> None:
    """As JSON. No name of a machine or a user."""
    content = {
        "broken": [*broken(results), *late(found)],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "pybrpc": pybrpc.__version__,
        "cells": [dataclasses.asdict(result) for result in results],
        "half_open": [dataclasses.asdict(each) for each in found],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _row(name: str, numbers: Counter[str]) -> list[str]:
    struck = sum(numbers[f"packets {fault}"] for fault in PACKET_FAULTS)
    calls = [f"{numbers[key]:,}" for key in CALLS]
    other = sum(numbers[key] for key in MUST_BE_0) - sum(numbers[key] for key in TOLD)
    return [name, f"{struck:,}", *calls, *(str(numbers[key]) for key in TOLD), str(other)]


def _errors(numbers: Counter[str]) -> str:
    return ", ".join(
        f"{count:,} {key.removeprefix('error ')}"
        for key, count in numbers.most_common()
        if key.startswith("error ")
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:
        print("\n".join([title, *(" | ".join(row) for row in [heads, *rows])]))
        return
    grid = Table(*heads, title=title, title_justify="left")
    for row in rows:
        grid.add_row(*map(escape, row))
    Console().print(grid)
