"""Group: modules whose tests don't have their names, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Modules, and test files that count as the own tests of each, beside those of its name."""

    reason: str
    modules: tuple[str, ...]
    """In src/pybrpc."""
    tests: tuple[str, ...]
    """In tests/."""


def modules(folder: str, names: str) -> tuple[str, ...]:
    """The modules of a folder that have these names."""
    return tuple(f"{folder}/{name}.py" for name in names.split())


def tests(folder: str, names: str) -> tuple[str, ...]:
    """The test files of a folder that have these names, which may be patterns."""
    return tuple(f"{folder}/test_{name}.py" for name in names.split())
