"""The headlines: lines "name ratio", for people and for scripts."""

from __future__ import annotations

import sys

from bench.bars import bars
from bench.figures import digits
from bench.peers.pybrpc_modes import implementation
from bench.rounds import Plan
from bench.samples import Samples


def show_bars(plan: Plan, samples: Samples) -> None:
    """A line on stdout for each bar of which something was to be measured."""
    for bar in bars(implementation() == "python"):
        spread = bar.spread(samples)
        if spread is not None:
            verdict = "met" if bar.is_met(spread) else "missed"
            print(f"{bar.name} {digits(spread.median)}  # expected {bar.expected}: {verdict}")
        elif any(cell in plan.cells for cell in bar.cells):
            print(f"{bar.name} nan  # not measured")


def show(plan: Plan, samples: Samples) -> None:
    """On stdout the lines, with what is expected; on stderr what could not be measured."""
    show_bars(plan, samples)
    for cell, failure in samples.failures().items():
        print(f"{cell}: {failure}", file=sys.stderr)
    for peer, reason in plan.absent.items():
        print(f"{peer} left out: {reason}", file=sys.stderr)
