"""Cell: one run of one load through one scenario; and what has become of its calls."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """`impl` is "python" or "compiled"; the others name a scenario, "plain" or "TLS", a form of
    calling, and a load."""

    impl: str
    scenario: str
    security: str
    form: str
    load: str
    seed: int

    def __str__(self) -> str:
        return f"{self.scenario}, {self.load} over {self.security} by {self.form}, {self.impl}"


@dataclasses.dataclass(frozen=True, slots=True)
class CellResult:
    """Numbers of one cell. Those of `must_be_0` are defects."""

    cell: Cell
    started: int
    answered: int
    failed: int
    failures: dict[str, int]
    """By error and phase."""
    faults: dict[str, int]
    """Packets, by what became of them."""
    lost: int
    told_twice: int
    wrong: int
    unexpected: int
    """Failures that no fault of the network explains."""
    ran_unasked: int
    """Run by the server more often than the client may have sent them."""
    not_run: int
    """Answered, though the server never ran them."""
    half_open: int
    """Connections that the server had still when nobody had used them for SETTLE_S."""
    settle_s: float
    """After how long the server had no connection any more."""
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls, cell: Cell, client: dict[str, Any], server: dict[str, Any], faults: dict[str, int]
    ) -> CellResult:
        """From what the two processes have said."""
        totals, attempts, executed = client["totals"], client["attempts"], server["executed"]
        return cls(
            cell=cell,
            started=totals["started"],
            answered=totals["answered"],
            failed=totals["failed"],
            failures=totals["failures"],
            faults=faults,
            lost=totals["started"] - totals["answered"] - totals["failed"],
            told_twice=totals["told_twice"],
            wrong=totals["wrong_answers"],
            unexpected=totals["unexpected"],
            ran_unasked=sum(n > attempts.get(name, 0) for name, n in executed.items()),
            not_run=sum(name not in executed for name in client["answered"]),
            half_open=server["left"],
            settle_s=server["seconds"],
            notes=tuple(totals["notes"]),
        )

    @property
    def must_be_0(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in MUST_BE_0}


MUST_BE_0 = (
    "lost", "told_twice", "wrong", "unexpected", "ran_unasked", "not_run", "half_open",
)  # fmt: skip
