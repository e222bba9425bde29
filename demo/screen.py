"""The screen of the demo: live progress, and a table at the end."""

from __future__ import annotations

import dataclasses

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.loads import Tally
from pybrpc.transport.socket.statistics import SocketStatistics

BARS = " ▁▂▃▄▅▆▇█"


@dataclasses.dataclass(frozen=True)
class Row:
    """One load, measured."""

    name: str
    seconds: float
    tally: Tally
    before: SocketStatistics
    after: SocketStatistics

    @property
    def calls(self) -> int:
        return len(self.tally.latencies_s)

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.tally.latencies_s)
        return ordered[int(share * (len(ordered) - 1))] * 1e3 if ordered else 0.0

    def grown(self, name: str) -> int:
        """By how much a count of the connection has grown meanwhile."""
        return int(getattr(self.after, name) - getattr(self.before, name))

    @property
    def messages_per_write(self) -> float:
        return self.grown("messages_written") / max(1, self.grown("writes"))


class Progress:
    """A line per load while it runs: how far it is, calls per second as a curve."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._done = Table.grid(padding=(0, 2))

    def show(self, name: str, share: float, rates: list[float]) -> None:
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=1.0, completed=share, width=24)
        line.add_row(f"{name:18}", bar, f"{rates[-1]:>9,.0f} calls/s", sparkline(rates))
        whole = Table.grid()
        whole.add_row(self._done)
        whole.add_row(line)
        self._live.update(whole)

    def keep(self, name: str, rates: list[float]) -> None:
        """The load is over: its line stays."""
        mean = sum(rates) / len(rates)
        bar = ProgressBar(total=1.0, completed=1.0, width=24)
        self._done.add_row(f"{name:18}", bar, f"{mean:>9,.0f} calls/s", sparkline(rates))
        self._live.update(self._done)


def sparkline(values: list[float], width: int = 32) -> Text:
    shown = values[-width:]
    highest = max(shown, default=0) or 1
    return Text("".join(BARS[round(value / highest * 8)] for value in shown), style="cyan")


def summary(rows: list[Row], served: dict[str, int]) -> Table:
    """Everything that was measured, a column per load."""
    table = Table(title="32-byte echo, client and server in two processes, ONE TCP connection")
    table.add_column("", justify="left")
    for row in rows:
        table.add_column(row.name, justify="right")

    def line(label: str, *cells: str) -> None:
        table.add_row(label, *cells)

    line("calls", *(f"{row.calls:,}" for row in rows))
    line("calls per second", *(f"[bold]{row.calls / row.seconds:,.0f}[/]" for row in rows))
    for share, label in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")):
        line(f"latency {label}", *(f"{row.percentile_ms(share):.2f} ms" for row in rows))
    line("messages per system call", *(f"[bold]{row.messages_per_write:.1f}[/]" for row in rows))
    line("written in place", *(f"{row.grown('written_in_place'):,}" for row in rows))
    line("handed over, in batches", *(f"{row.grown('handed_over'):,}" for row in rows))
    line("bytes sent", *(f"{row.grown('bytes_written'):,}" for row in rows))
    line("bytes received", *(f"{row.grown('bytes_read'):,}" for row in rows))
    line("errors", *(errors_of(row.tally) for row in rows))
    table.caption = (
        f"The server accepted {served['connections']} connection and answered "
        f"{served['requests']:,} requests."
    )
    return table


def errors_of(tally: Tally) -> str:
    if not tally.errors:
        return "[green]0[/]"
    named = ", ".join(f"{count} {name}" for name, count in tally.errors.items())
    return f"[red]{named}[/]"
