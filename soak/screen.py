"""The screen of the soak: a line now and then, tables at the end, with rich if installed."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Iterable

from soak.ledger import LedgerTotals
from soak.outcome import MOST_LEFT, Outcome, described

PAUSE_S = 5.0
Row = tuple[str, str]


class Progress:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._shown_at = 0.0
        self._answered = 0

    def show(self, passed_s: float, totals: LedgerTotals, faults: Counter[str]) -> None:
        now = time.monotonic()
        if now < self._shown_at + PAUSE_S:
            return
        rate = (totals.answered - self._answered) / (now - self._shown_at)
        self._shown_at, self._answered = now, totals.answered
        print(
            f"{passed_s:6.0f} s  {totals.started:>9,} calls  {totals.answered:>9,} answered "
            f"({rate:,.0f}/s)  {totals.failed:>7,} failed  {faults.total():>6,} faults",
            flush=True,
        )


def show(outcome: Outcome) -> None:
    """Tables of everything, and the verdict."""
    kind = "plain and TLS" if outcome.has_tls else "plain"
    table(f"{outcome.seconds:,.0f} s of calls over {kind} connections", summary(outcome))
    table("Failed calls, by error and phase", counts(outcome.totals.failures))
    table("Sides of streams, by how they have ended", counts(outcome.streams.ends))
    table("Faults that struck", counts(outcome.faults))
    table("Done to live connections", counts(outcome.deeds))
    table("Done by hostile peers", counts(outcome.hostile))
    notes = [*outcome.totals.notes, *outcome.streams.notes, *outcome.log_texts]
    if notes:
        table("Wrong results", [(str(n), note) for n, note in enumerate(notes, 1)])
    broken = outcome.broken()
    for text in broken:
        print(f"BROKEN  {text}")
    passed = "PASSED: no call or message was lost, none came twice, nothing grew"
    print("FAILED" if broken else passed)


def summary(outcome: Outcome) -> Iterable[Row]:
    totals = outcome.totals
    for name in ("started", "answered", "failed"):
        yield f"calls {name}", f"{getattr(totals, name):,}"
    for name in ("lost", "told_twice", "wrong_answers", "unexpected"):
        yield f"calls {name.replace('_', ' ')} (must be 0)", f"{getattr(totals, name):,}"
    streams = outcome.streams
    yield "sides of streams opened", f"{streams.opened:,}"
    yield "messages of streams sent", f"{streams.sent:,}"
    yield "messages of streams received", f"{streams.received:,}"
    yield "times that all messages were proved to have come", f"{streams.proofs:,}"
    yield "streams: defects (must be 0)", f"{sum(streams.must_be_0.values()):,}"
    yield "errors logged (must be 0)", f"{outcome.log_count:,}"
    yield "errors logged that were raised on purpose", f"{outcome.on_purpose:,}"
    yield "counts of servers at rest that are not 0", f"{len(outcome.accounts):,}"
    for name in ("descriptors", "threads", "rss_bytes"):
        before, after = getattr(outcome.at_start, name), getattr(outcome.at_end, name)
        yield f"{name} at rest, before and after", f"{before:,} -> {after:,}"
    yield "objects left at rest", f"{outcome.left_objects:,} (up to {MOST_LEFT:,} is tolerated)"
    for growth in outcome.growth:
        yield f"{growth.name} while it ran", described(growth)


def counts(numbers: dict[str, int]) -> Iterable[Row]:
    return [(name, f"{count:,}") for name, count in sorted(numbers.items())]


def table(title: str, rows: Iterable[Row]) -> None:
    """Two columns under a title."""
    lines = list(rows) or [("none", "")]
    if importlib.util.find_spec("rich") is not None:
        _rich_table(title, lines)
        return
    width = max(len(name) for name, _ in lines)
    print(f"\n{title}")
    for name, value in lines:
        print(f"  {name:<{width}}  {value}")


def _rich_table(title: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=title, show_header=False, title_justify="left", min_width=60)
    for name, value in rows:
        grid.add_row(escape(name), escape(value))
    Console().print(grid)
