"""Outcome: what a soak has found, and whether that is good."""

from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import pybrpc
from soak.ledger import LedgerTotals
from soak.options import SoakOptions
from soak.process_watch import Growth, Sizes
from soak.streams.book import STREAM_DEFECTS, StreamTotals

MOST_LEFT = 500
"""Objects: what is imported, cached or counted for the first time after the warm-up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """Numbers of one run."""

    seconds: float
    has_tls: bool
    totals: LedgerTotals
    streams: StreamTotals
    faults: dict[str, int]
    """How often each kind of fault has struck a connection."""
    deeds: dict[str, int]
    """How often live connections were reset, cut, stalled, refused beside that."""
    hostile: dict[str, int]
    """How often hostile peers did what."""
    accounts: list[str]
    """Counts of servers that were not zero when nobody called any more."""
    at_start: Sizes
    """At rest, after a warm-up; everything is closed."""
    at_end: Sizes
    """Sizes after the run."""
    left: dict[str, int]
    """By type, how many objects there are at rest that were not there before; most first."""
    growth: list[Growth]
    """While it ran."""
    log_count: int
    log_texts: list[str]
    on_purpose: int
    """How often it was logged that a callback or a handler raised on purpose."""
    stuck: list[str]
    """Threads that did not end when they were told to."""

    @property
    def left_objects(self) -> int:
        return sum(self.left.values())

    def broken(self) -> list[str]:
        """The invariants that do not hold, in words."""
        totals = self.totals
        start, end = self.at_start, self.at_end
        checks = [
            (totals.started > 0, "no call was started"),
            (totals.lost == 0, f"{totals.lost} calls have no outcome"),
            (totals.told_twice == 0, f"{totals.told_twice} calls have two outcomes or more"),
            (totals.wrong_answers == 0, f"{totals.wrong_answers} answers to something else"),
            (totals.unexpected == 0, f"{totals.unexpected} failures that no fault explains"),
            *(
                (number == 0, f"streams: {number} {STREAM_DEFECTS[name]}")
                for name, number in self.streams.must_be_0.items()
            ),
            (not self.stuck, f"threads that don't end: {', '.join(self.stuck)}"),
            (self.log_count == 0, f"{self.log_count} errors were logged"),
            (not self.accounts, f"counts of servers at rest: {'; '.join(self.accounts)}"),
            (
                end.descriptors <= start.descriptors,
                f"descriptors: {start.descriptors} before, {end.descriptors} after",
            ),
            (end.threads <= start.threads, f"threads: {start.threads} before, {end.threads} after"),
            (
                self.left_objects <= MOST_LEFT,
                f"{self.left_objects:,} objects are left, such as {self._examples()}",
            ),
            *(
                (growth.is_in_bounds, f"{growth.name} grew: {described(growth)}")
                for growth in self.growth
            ),
        ]
        return [text for is_good, text in checks if not is_good]

    def _examples(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in list(self.left.items())[:5])

    def write(self, path: Path, options: SoakOptions) -> None:
        """As JSON. No name of a machine or a user."""
        content: dict[str, Any] = {
            "broken": self.broken(),
            "options": {**dataclasses.asdict(options), "report": None},
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "pybrpc": pybrpc.__version__,
            **dataclasses.asdict(self),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")


def described(growth: Growth) -> str:
    """ "81,000,000 early, 83,000,000 late (up to 105,000,000 is tolerated)"."""
    if growth.tolerance is None:
        return f"{growth.early:,.0f} early, {growth.late:,.0f} late (too short to judge)"
    most = growth.early + growth.tolerance
    return f"{growth.early:,.0f} early, {growth.late:,.0f} late (up to {most:,.0f} is tolerated)"
