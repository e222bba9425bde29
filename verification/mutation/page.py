"""docs/mutation.md, which lists every survivor and says why it may live.

A row of a table each, under the heading of its target: | `function` | `was` | `becomes` | reason |
"""

from __future__ import annotations

import re
from pathlib import Path

from verification.mutation.mutmut_run import Survivor

PAGE = Path(__file__).parents[2] / "docs" / "mutation.md"

_CELL = r"`` ?(.*?) ?``"
_ROW = re.compile(rf"^\| {_CELL} \| {_CELL} \| {_CELL} \| (.+) \|$", re.MULTILINE)


def explained_in(text: str, target: str) -> dict[Survivor, str]:
    """The survivors that the page knows of a target, and the reasons it gives."""
    _, _, section = text.partition(f"\n## {target}\n")
    rows = _ROW.findall(section.partition("\n## ")[0])
    return {Survivor(*map(_unescaped, row[:3])): row[3] for row in rows}


def row_of(survivor: Survivor, reason: str) -> str:
    cells = (survivor.function, survivor.was, survivor.becomes)
    return f"| {' | '.join(f'`` {_escaped(cell)} ``' for cell in cells)} | {reason} |"


def _escaped(code: str) -> str:
    return code.replace("|", r"\|")


def _unescaped(cell: str) -> str:
    return cell.replace(r"\|", "|")
