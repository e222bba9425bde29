"""pybrpc top: calls, errors and latencies of a server by method, and its connections, live."""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

from pybrpc.cli.arguments import add_timeout, add_tls, count, some_seconds
from pybrpc.cli.command import OK, CommandError
from pybrpc.cli.output import Output, printable, rich
from pybrpc.cli.pages import get, page, page_channel
from pybrpc.cli.plot import duration_text
from pybrpc.cli.status_text import LATENCIES, Status, parse_status
from pybrpc.cli.view import Screen
from pybrpc.client.channel.channel import Channel

WORKER_HEADER = "X-Pybrpc-Worker"
CONNECTION_CELLS = 15
"""Cells of a line of /connections."""
MAX_DIGITS = 20
"""Digits of a number there: Python converts no number of any length."""

EXAMPLE = """\
examples:
  pybrpc top 127.0.0.1:8000
  pybrpc top 127.0.0.1:8000 -n 1 --json | jq '.methods[0].latency_99'

The server is asked for /status, and for /connections where it shows that. Calls are those that did
not fail, as there; calls a second are those since the last look, latencies those of the last 10
seconds. On the internal port of `pybrpc serve` the figures are those of all workers: sums, and the
percentiles of the slowest one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", help="host:port or unix:path")
    parser.add_argument(
        "--interval", type=some_seconds, default=1.0, metavar="SECONDS", help="(%(default)g)"
    )
    parser.add_argument("-n", "--count", type=count, metavar="N", help="looks (no limit)")
    parser.add_argument(
        "--connections", type=int, default=5, metavar="N", help="the busiest ones (%(default)s)"
    )
    add_timeout(parser, 5.0)
    add_tls(parser)


class Look(NamedTuple):
    """One look at a server."""

    at_s: float
    status: Status
    worker: str
    connections: list[dict[str, str]]


def run(options: argparse.Namespace, output: Output) -> int:
    """Show the figures, until Ctrl-C or for so many looks."""
    if not output.is_json:
        rich("table")
    with page_channel(options.server, options) as channel, Screen(output) as screen:
        before: Look | None = None
        looks = 0
        while True:
            now = look(channel, options.connections)
            facts = facts_of(options.server, now, before)
            if output.is_json:
                output.value(facts)
            else:
                screen.show(as_table(facts))
            before = now
            looks += 1
            if looks == options.count:
                return OK
            time.sleep(options.interval)


def look(channel: Channel, connections: int) -> Look:
    """Ask the server. CommandError if it shows no figures."""
    response = page(channel, "/status")
    status = parse_status(response.text())
    if not status.facts:
        raise CommandError(f"{channel.endpoint}/status: this is no page of a server of bRPC")
    worker = response.headers.get(WORKER_HEADER) or ""
    shown = busiest(channel, connections) if connections > 0 else []
    return Look(time.monotonic(), status, worker, shown)


def busiest(channel: Channel, most: int) -> list[dict[str, str]]:
    """The connections to the server with the most messages; none if it does not show them."""
    response = get(channel, "/connections")
    if response.status != 200:
        return []
    found = []
    for line in response.text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("channel_connection_count"):
            break
        if len(cells) < CONNECTION_CELLS or cells[0] == "CreatedTime":
            continue
        names = ("remote_side", "ssl", "protocol", "fd", "in_bytes", "in", "", "", "out_bytes")
        found.append({name: cell for name, cell in zip(names, cells[1:], strict=False) if name})
        found[-1]["out"] = cells[10]
    return sorted(found, key=lambda each: -_number(each["in"]))[:most]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else 0


def facts_of(server: str, now: Look, before: Look | None) -> dict[str, Any]:
    """The figures for machines. Rates are those since `before`, if there is such a look."""
    status = now.status
    methods = []
    for name, figures in status.methods.items():
        row: dict[str, Any] = {"method": name, **{key: figures.get(key, 0) for key in LATENCIES}}
        row["calls"], row["errors"] = figures.get("count", 0), figures.get("error", 0)
        row["running"] = figures.get("concurrency", 0)
        row["qps"], row["eps"] = figures.get("qps", 0), figures.get("eps", 0)
        old = None if before is None else before.status.methods.get(name)
        if before is not None and old is not None:
            passed = now.at_s - before.at_s
            row["qps"] = round(max(0, row["calls"] - old.get("count", 0)) / passed, 1)
            row["eps"] = round(max(0, row["errors"] - old.get("error", 0)) / passed, 1)
        methods.append(row)
    return {
        "server": server,
        "version": status.facts.get("version", ""),
        "worker": now.worker,
        "workers": status.workers,
        "connections": status.number("connection_count"),
        "running": status.number("concurrency"),
        "non_service_errors": status.number("non_service_error"),
        "methods": sorted(methods, key=lambda row: (-row["qps"], -row["calls"], row["method"])),
        "busiest_connections": now.connections,
    }


def as_table(facts: dict[str, Any]) -> Any:
    """The figures for people, as rich shows them."""
    text = rich("text").Text
    who = f"{facts['workers']} workers" if facts["workers"] else facts["worker"]
    head = [facts["server"], facts["version"], who, time.strftime("%H:%M:%S")]
    line = (
        f"{facts['connections']} connections, {facts['running']} running, "
        f"{facts['non_service_errors']} errors of no method"
    )
    parts = [text(printable("  ".join(filter(None, head)))), text(line), methods_table(facts)]
    if facts["busiest_connections"]:
        parts.append(connections_table(facts["busiest_connections"]))
    return rich("console").Group(*parts)


def methods_table(facts: dict[str, Any]) -> Any:
    """A row for each method, the busiest one first."""
    text = rich("text").Text
    table = rich("table").Table(box=rich("box").SIMPLE)
    names = ("calls/s", "calls", "err/s", "errors", "mean", "p50", "p90", "p99", "p99.9", "max")
    table.add_column("method", overflow="fold")
    for name in (*names, "running"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in facts["methods"]:
        numbers = [
            rate_text(row["qps"]),
            f"{row['calls']:,}",
            rate_text(row["eps"]),
            f"{row['errors']:,}",
            *(duration_text(row[name]) for name in LATENCIES),
            str(row["running"]),
        ]
        style = "red" if row["eps"] else ("" if row["qps"] else "dim")
        table.add_row(text(printable(row["method"])), *numbers, style=style)
    return table


def rate_text(rate: float) -> str:
    """A rate for people: "0", "1.5", "12,345"."""
    return f"{rate:,.1f}" if 0 < rate < 100 else f"{rate:,.0f}"


def connections_table(connections: list[dict[str, str]]) -> Any:
    """A row for each of the busiest connections."""
    text = rich("text").Text
    table = rich("table").Table(box=rich("box").SIMPLE)
    columns = ("remote_side", "protocol", "in", "in_bytes", "out", "out_bytes")
    titles = ("connection", "protocol", "in/s", "bytes in/s", "out/s", "bytes out/s")
    for title in titles:
        table.add_column(title, justify="left" if title in titles[:2] else "right")
    for each in connections:
        table.add_row(*(text(printable(each[name])) for name in columns))
    return table
