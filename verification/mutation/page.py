"""docs/mutation.md, which lists every survivor and says why it may live.

A row of a table each, under the heading of its target: | `function` | `was` | `becomes` | reason |.
Under the heading "Everywhere": fragments of code whose change makes no difference in any target,
| `was` | `becomes` | reason |.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from verification.mutation.mutmut_run import Survivor

PAGE = Path(__file__).parents[2] / "docs" / "mutation.md"

_CELL = r"`` ?(.*?) ?``"
_ROW = re.compile(rf"^\| {_CELL} \| {_CELL} \| {_CELL} \| (.+) \|$", re.MULTILINE)
_GENERAL_ROW = re.compile(rf"^\| {_CELL} \| {_CELL} \| ([^`|]+) \|$", re.MULTILINE)

Fragments = tuple[str, str]
"""The original text, and the text of the mutant."""


def explained_in(text: str, target: str) -> dict[Survivor, str]:
    """The survivors that the page knows of a target, and the reasons it gives."""
    rows = _ROW.findall(_section_of(text, target))
    return {Survivor(*map(_unescaped, row[:3])): row[3] for row in rows}


def explained_everywhere(text: str) -> dict[Fragments, str]:
    """The changes that make no difference in any target, and the reasons that the page gives."""
    rows = _GENERAL_ROW.findall(_section_of(text, "Everywhere"))
    return {(_unescaped(was), _unescaped(becomes)): reason for was, becomes, reason in rows}


def is_explained_by(fragments: Mapping[Fragments, str], survivor: Survivor) -> bool:
    """Whether the survivor differs by one of these changes, at one place, and by nothing else."""
    return any(
        survivor.was[: found.start()] + becomes + survivor.was[found.end() :] == survivor.becomes
        for was, becomes in fragments
        for found in re.finditer(re.escape(was), survivor.was)
    )


def _section_of(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def row_of(survivor: Survivor, reason: str) -> str:
    cells = (survivor.function, survivor.was, survivor.becomes)
    return f"| {' | '.join(f'`` {_escaped(cell)} ``' for cell in cells)} | {reason} |"


def _escaped(code: str) -> str:
    return code.replace("|", r"\|")


def _unescaped(cell: str) -> str:
    return cell.replace(r"\|", "|")
