"""How much of a module its tests have run, by the data that the plugin has left."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import coverage

from verification.coverage.own_tests import PACKAGE, ROOT, name_of

FOLDER = ROOT / "build" / "coverage"

NOTHING_TO_RUN = [
    # The body of a method that a Protocol declares.
    r"^\s*\.\.\.$",
    r":\s*\.\.\.$",
    # What a subclass has to say.
    r"raise NotImplementedError",
    # For mypy alone.
    r"if TYPE_CHECKING:",
    # What a process that is started runs.
    r"if __name__ == .__main__.:",
]


@dataclass(frozen=True, slots=True)
class Measure:
    """Lines and branches as coverage.py counts them: how many ran, and how many there are."""

    name: str
    tests: tuple[Path, ...]
    ran: int
    total: int
    missing: str
    """Lines that didn't run, and ones from which it didn't go every way: "12-14; not all of 20"."""

    @property
    def percent(self) -> float:
        return 100.0 * self.ran / self.total if self.total else 100.0


class Measurements:
    """The coverage data of a run of tests."""

    def __init__(self, data_files: Iterable[Path]) -> None:
        self._coverage = coverage.Coverage(
            data_file=None, branch=True, source=[str(PACKAGE)], config_file=False
        )
        for pattern in NOTHING_TO_RUN:
            self._coverage.exclude(pattern)
        self._coverage.combine(map(str, data_files), keep=True)

    def of(self, module: Path, tests: Iterable[Path]) -> Measure:
        """The coverage of the module by those tests, and by importing it."""
        tests = tuple(tests)
        contexts = [f"^{re.escape(str(test.relative_to(ROOT)))}$" for test in tests]
        self._coverage.get_data().set_query_contexts(["^$", *contexts])
        _, lines, _, not_run, as_text = self._coverage.analysis2(str(module))
        branches = self._coverage.branch_stats(str(module))
        partly = [line for line, (there, taken) in branches.items() if 0 < taken < there]
        return Measure(
            name_of(module),
            tests,
            ran=len(lines) - len(not_run) + sum(taken for _, taken in branches.values()),
            total=len(lines) + sum(there for there, _ in branches.values()),
            missing="; ".join(filter(None, (as_text, _not_all_of(partly)))),
        )


def _not_all_of(lines: list[int]) -> str:
    return f"not all of {', '.join(map(str, sorted(lines)))}" if lines else ""
