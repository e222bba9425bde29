"""The page benchmark.md, all of it made from a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.bars import Bar, bars
from bench.figures import SHOWN, digits
from bench.http.servers import SERVERS
from bench.measures import MEASURES
from bench.peers import ENTRIES
from bench.peers.pybrpc_modes import implementation
from bench.report.result import Result
from bench.samples import Cell, Spread
from bench.screen import entry

Plots = Mapping[str, Sequence[str]]
"""Measure to the files of its plots, relative to the page."""

TOP = """# Benchmark

Made by `{command}`{early}; do not edit this page. pybrpc and its peers are [listed at the
end](#what-was-measured-and-how-it-is-used). Client and server are processes of their own on one
machine. In each round every peer runs for {seconds:g} s ({latency:g} s where latency is measured),
one after the other; every other round has the reverse order. Of {rounds} the tables show the
median, and in brackets the lowest and the highest. The numbers of each round are in
[results.json](bench/results.json).
"""

HEADLINES = """## Headlines

These are the expectations of the project, and whether they are met. A name `a_vs_b` is a ratio,
taken within a round: how many times as many calls per second `a` makes as `b` (`cpu`: processor
time; `p99`: latency). A name with `_us` alone is the processor time of a call, in µs.

"""


def page(result: Result, about: Mapping[str, Any], plots: Plots) -> str:
    """The text, in Markdown."""
    parts = [
        top(result),
        machine_part(about),
        bars_part(result),
        *(measure_part(result, name, plots[name]) for name in result.plan.measures),
        peers_part(result),
        absent_part(result),
    ]
    return "\n".join(part for part in parts if part)


def top(result: Result) -> str:
    plan = result.plan
    seconds = plan.window.measure_s
    return TOP.format(
        command=result.command,
        early="" if result.is_complete else ", which was **interrupted**",
        rounds=f"{plan.rounds} round" + "s" * (plan.rounds > 1),
        seconds=seconds,
        latency=seconds * MEASURES["latency"].lasts,
    )


def machine_part(about: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    load = ", ".join(map(str, about["load"]))
    rows = {
        "date": about["date"],
        "machine": f"{about['cpus']} processors ({about['processor']}), {about['system']}",
        "load at the end": f"{load} (1, 5, 15 minutes), the benchmark's own included",
        "Python": about["python"],
        "pybrpc runs as": about["pybrpc"],
        "versions": versions,
    }
    return markdown_table(("", ""), ([f"**{name}**", value] for name, value in rows.items()))


def bars_part(result: Result) -> str:
    """The headlines, as far as they were measured."""
    found = [
        (bar, spread)
        for bar in bars(implementation() == "python")
        if (spread := bar.spread(result.samples))
    ]
    if not found:
        return ""
    rows = (bar_row(bar, spread) for bar, spread in found)
    return HEADLINES + markdown_table(("", "median", "range", "expected", ""), rows)


def bar_row(bar: Bar, spread: Spread) -> list[str]:
    reach = f"{digits(spread.low)}..{digits(spread.high)}"
    verdict = "met" if bar.is_met(spread) else "missed"
    return [f"`{bar.name}`", digits(spread.median), reach, bar.expected, verdict]


def measure_part(result: Result, name: str, plots: Sequence[str]) -> str:
    found = MEASURES[name]
    images = "".join(f"![{found.title}]({plot})\n\n" for plot in plots)
    tables = "\n".join(figure_tables(result, name))
    return f"## {found.title}\n\n{images}{tables}"


def figure_tables(result: Result, name: str) -> Iterator[str]:
    """One for each figure that anybody has: points are rows, peers columns."""
    plan, samples = result.plan, result.samples
    peers, points = plan.peers(name), plan.points(name)
    for figure in MEASURES[name].tables:
        rows = [
            [point, *(entry(samples, Cell(name, peer, point), figure) for peer in peers)]
            for point in points
        ]
        used = [0] + [n for n in range(1, len(peers) + 1) if any(row[n] for row in rows)]
        if len(used) > 1:
            head = [MEASURES[name].axis, *peers]
            yield f"{SHOWN[figure].title[:1].upper()}{SHOWN[figure].title[1:]}:\n"
            yield markdown_table([head[n] for n in used], ([row[n] for n in used] for row in rows))


def peers_part(result: Result) -> str:
    described = {entry.name: entry.how for entry in ENTRIES.values()}
    described |= {server.name: server.how for server in SERVERS.values()}
    names = dict.fromkeys(cell.peer for cell in result.plan.cells if cell.peer in described)
    rows = ([f"`{name}`", described[name]] for name in names)
    return "## What was measured, and how it is used\n\n" + markdown_table(("", ""), rows)


def absent_part(result: Result) -> str:
    """The peers that did not take part, and the reasons."""
    reasons = [f"`{peer}`: {reason}" for peer, reason in result.plan.absent.items()]
    reasons += [f"{cell}: {failure}" for cell, failure in result.samples.failures().items()]
    lines = "".join(f"- {reason}\n" for reason in reasons)
    return f"## Peers that did not take part\n\n{lines}" if lines else ""


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
