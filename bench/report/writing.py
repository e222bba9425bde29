"""Writes benchmark.md, and beside it bench/results.json and bench/*.svg."""

from __future__ import annotations

from pathlib import Path

from bench.measures import MEASURES
from bench.report.json_file import write_json
from bench.report.latency_plot import write_latency_plot
from bench.report.line_plot import write_line_plot
from bench.report.machine import machine
from bench.report.page import page
from bench.report.result import Result

PAGE, FOLDER = "benchmark.md", "bench"


def write_report(out: Path, result: Result) -> Path:
    """The path of the page."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    about = machine()
    write_json(folder / "results.json", result, about)
    plots = {name: write_plots(folder, result, name) for name in result.plan.measures}
    path = out / PAGE
    path.write_text(page(result, about, plots))
    return path


def write_plots(folder: Path, result: Result, name: str) -> list[str]:
    """The files, relative to the page."""
    written: list[str] = []
    if name == "latency":
        written.append(f"{name}.svg")
        write_latency_plot(folder / written[-1], result)
    for figure in MEASURES[name].plots:
        written.append(f"{name}.svg" if figure == "calls_per_s" else f"{name}_{figure}.svg")
        write_line_plot(folder / written[-1], result, name, figure)
    return [f"{FOLDER}/{file}" for file in written]
