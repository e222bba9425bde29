"""Result: a run that is over, whole or not."""

from __future__ import annotations

from dataclasses import dataclass

from bench.rounds import Plan
from bench.samples import Samples


@dataclass(frozen=True, slots=True)
class Result:
    """`command` is what was typed."""

    plan: Plan
    samples: Samples
    command: str
    is_complete: bool
