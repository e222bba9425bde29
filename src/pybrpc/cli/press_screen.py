"""The screen of a press: a live plot while it runs, and a table at its end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from pybrpc.cli.output import Output, printable, rich
from pybrpc.cli.plot import duration_text, plot
from pybrpc.cli.press_load import Figures, Load
from pybrpc.metrics.histogram import Histogram

PERCENTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
WIDTH, HEIGHT = 60, 6
"""Characters of the plot."""


class LiveScreen:
    """Shows a load in a terminal, for `with`. `show` is called every now and then."""

    def __init__(self, load: Load[Any], output: Output, what: str) -> None:
        self._load = load
        self._what = what
        self._rates: deque[float] = deque(maxlen=WIDTH)
        self._last_ended = 0
        self._last_s = 0.0
        self._last_latencies = Histogram()
        self._live: Any = rich("live").Live(console=output.console, auto_refresh=False)

    def __enter__(self) -> LiveScreen:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def show(self) -> None:
        """Draw the figures anew."""
        figures = self._load.figures()
        passed = figures.seconds - self._last_s
        if passed <= 0:
            return
        rate = (figures.ended - self._last_ended) / passed
        recent = figures.latencies - self._last_latencies
        self._last_ended, self._last_s = figures.ended, figures.seconds
        self._last_latencies = figures.latencies
        self._rates.append(rate)
        text = "\n".join(
            [
                f"{self._what}, {figures.seconds:.1f} s",
                "",
                *plot(list(self._rates), WIDTH, HEIGHT),
                "─" * WIDTH,
                f"{rate:,.0f} calls/s (plot: up to {max(self._rates):,.0f}), "
                f"{self._load.running} running, {figures.failed} failed",
                "now: "
                + ", ".join(
                    f"{name} {latency_text(us)}"
                    for name, us in percentiles_of(recent, shares=PERCENTILES[:3]).items()
                ),
            ]
        )
        self._live.update(rich("text").Text(text), refresh=True)


def percentiles_of(
    latencies: Histogram, max_us: float = math.inf, shares: Sequence[float] = PERCENTILES
) -> dict[str, int | None]:
    """Percentiles in microseconds, by their names; `None` if no call has succeeded. A histogram has
    them within a few percent: none is above the maximum."""
    return {
        f"p{share * 100:g}": int(min(latencies.get_number(share), max_us))
        if latencies.count
        else None
        for share in shares
    }


def latency_text(us: int | None) -> str:
    """A latency for people; "-" if no call has one."""
    return "-" if us is None else duration_text(us)


def facts_of(figures: Figures) -> dict[str, Any]:
    """The figures for machines."""
    good = figures.ended - figures.failed
    return {
        "seconds": round(figures.seconds, 3),
        "calls": figures.ended,
        "failed": figures.failed,
        "qps": round(figures.in_time / figures.seconds, 1) if figures.seconds else 0.0,
        "latency_us": {
            "mean": round(figures.latencies.total / good) if good else None,
            **percentiles_of(figures.latencies, figures.max_us),
            "max": figures.max_us if good else None,
        },
        "errors": [
            {"name": name, "count": count, "text": figures.texts[name]}
            for name, count in sorted(figures.errors.items(), key=lambda each: -each[1])
        ],
    }


def print_figures(figures: Figures, output: Output, what: str) -> None:
    """Print the figures as a table."""
    facts = facts_of(figures)
    table = rich("table").Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("seconds", f"{figures.seconds:.2f}")
    table.add_row("calls", f"{figures.ended:,}")
    table.add_row("calls/s", f"{facts['qps']:,.1f}")
    table.add_row("failed", f"{figures.failed:,}", style="red" if figures.failed else None)
    table.add_section()
    for name, us in facts["latency_us"].items():
        table.add_row(name, latency_text(us))
    output.line(what)
    output.console.print(table)
    for each in facts["errors"]:
        text = printable(" ".join(each["text"].split()))
        output.line(f"{each['count']} times {printable(each['name'])}: {text}")
