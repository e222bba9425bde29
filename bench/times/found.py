"""Found: one time that was measured."""

from __future__ import annotations

import dataclasses

from bench.figures import digits


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """`aim_ms`: how long it should take at most; `None` if nothing is aimed at."""

    name: str
    ms: float
    aim_ms: float | None = None

    def __str__(self) -> str:
        """ "name milliseconds", for people and for scripts."""
        line = f"{self.name}_ms {digits(self.ms)}"
        if self.aim_ms is None:
            return line
        verdict = "met" if self.ms <= self.aim_ms else "missed"
        return f"{line}  # aim {digits(self.aim_ms)}: {verdict}"
