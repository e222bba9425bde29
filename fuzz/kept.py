"""Inputs that are kept: what was once found. Tests try them again, and fuzzing begins with them."""

from __future__ import annotations

from pathlib import Path

from fuzz.fuzz_target import FuzzTarget

FOUND = Path(__file__).parent / "found"
"""One folder a target; each file is the smallest input that showed a defect, named after it."""


def found_inputs(name: str) -> dict[str, bytes]:
    """Inputs that once failed with the target of that name, by the names of their files."""
    return {path.name: path.read_bytes() for path in sorted((FOUND / name).glob("*"))}


def first_inputs(name: str, target: FuzzTarget) -> list[bytes]:
    """The inputs that fuzzing begins with."""
    return [*target.seeds(), *found_inputs(name).values()]
