"""The pictures of `python -m bench.cluster --plots DIR`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from bench.cluster import failures, scenarios
from bench.cluster.channel_settings import ChannelSettings
from bench.cluster.faults import Fault, FaultKind
from bench.cluster.results import STEP_S
from bench.cluster.scenario import Scenario
from bench.cluster.simulation import Simulation
from bench.cluster.tables import BALANCERS, channel
from bench.report.figure_style import COOL, OURS, svg

Say = Callable[[str], object]

P99_SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "all alike": lambda: scenarios.STEADY,
    "one of 20\n10x slower": scenarios.one_slow,
    "one of 10\n20x slower": lambda: scenarios.one_slow(20.0, 10, 0.0),
    "half of 20\n3x slower": scenarios.half_slow,
    "each 4x slower\n15 % of the time": scenarios.antagonists,
}
COLOURS = dict(zip(BALANCERS, (*COOL[:4], OURS[0]), strict=True))
FAULT_BEGINS_S, FAULT_ENDS_S = 1.0, 4.0


def write_plots(folder: Path, seed: int, say: Say) -> None:
    for name, draw in {
        "cluster-p99.svg": _p99_by_balancer,
        "cluster-errors.svg": _errors_over_time,
        "cluster-restart.svg": _rolling_restart,
    }.items():
        say(f"{name} ...")
        draw(folder / name, seed)


def _p99_by_balancer(path: Path, seed: int) -> None:
    with svg(path, "99 % of the calls are at least as fast, by balancer and servers") as axes:
        for place, balancer in enumerate(BALANCERS):
            settings = channel(balancer, "off")
            heights = [
                Simulation(new(), settings, seed).run().p99_s * 1e3
                for new in P99_SCENARIOS.values()
            ]
            offsets = [index + (place - 2) * 0.16 for index in range(len(heights))]
            bars = axes.bar(offsets, heights, 0.15, label=balancer, color=COLOURS[balancer])
            axes.bar_label(bars, [_shown(height) for height in heights], fontsize=6, padding=1)
        axes.set_xticks(range(len(P99_SCENARIOS)), list(P99_SCENARIOS), fontsize=8)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel("ms")


def _shown(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.0f}"
    return f"{milliseconds / 1000:.2g} s"


def _failing_for_a_while() -> Scenario:
    """One of 10 servers fails at once, for some seconds."""
    fault = Fault(FaultKind.FAILS, FAULT_BEGINS_S, FAULT_ENDS_S)

    def faults(index: int, _: object) -> Sequence[Fault]:
        return [fault] if index == 0 else ()

    return replace(
        scenarios.broken(), faults=faults, clients=5, rate=10_000.0, duration_s=6.0, slots=8
    )


def _errors_over_time(path: Path, seed: int) -> None:
    columns = {
        "rr, no breaker": channel("rr", "off"),
        "rr, EmaCircuitBreaker (bRPC's)": channel("rr", "ema"),
        "rr, OutlierDetection": channel("rr"),
        "p2c_ewma, OutlierDetection (default)": channel("p2c_ewma"),
    }
    colours = (COOL[0], COOL[2], OURS[1], OURS[0])
    title = "calls that fail while one of 10 servers fails at once, without retries"
    with svg(path, title) as axes:
        _shade(axes, FAULT_BEGINS_S, FAULT_ENDS_S)
        for (label, settings), colour in zip(columns.items(), colours, strict=True):
            steps = Simulation(_failing_for_a_while(), settings, seed).run().steps[:-1]
            times = [(index + 0.5) * STEP_S for index in range(len(steps))]
            shares = [100 * failed / max(calls, 1) for calls, failed in steps]
            axes.plot(times, shares, label=label, color=colour)
        axes.set_xlabel("seconds")
        axes.set_ylabel("% of the calls")


def _shade(axes: Axes, begin: float, end: float) -> None:
    axes.axvspan(begin, end, color="#000000", alpha=0.06, label="the server fails")


def _rolling_restart(path: Path, seed: int) -> None:
    scenario = failures.rolling_restart(20, 0.5, 14_000.0)
    title = "rolling restart of 20 servers at 70 % load: 99 % of the calls are at least as fast"
    with svg(path, title) as axes:
        for label, settings, colour in (
            ("rr", channel("rr"), COOL[0]),
            ("p2c_ewma (default)", channel("p2c_ewma"), OURS[0]),
        ):
            times, p99s = _p99_over_time(scenario, settings, seed)
            axes.plot(times, p99s, label=label, color=colour)
        _shade_restarts(axes, scenario)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("seconds")
        axes.set_ylabel("ms")


def _shade_restarts(axes: Axes, scenario: Scenario) -> None:
    end = 1.0 + (scenario.servers - 1) * 0.5 + 0.7
    axes.axvspan(1.0, end, color="#000000", alpha=0.06, label="servers stop and start")


def _p99_over_time(
    scenario: Scenario, settings: ChannelSettings, seed: int, step_s: float = 0.5
) -> tuple[list[float], list[float]]:
    """The 99th percentile, in ms, of the calls that end in each step."""
    simulation = Simulation(scenario, settings, seed)
    times: list[float] = []
    found: list[float] = []
    seen = 0

    def look(_: object) -> None:
        nonlocal seen
        ended = sorted(simulation.latencies_s[seen:])
        seen += len(ended)
        times.append(simulation.clock.now - step_s / 2)
        found.append(ended[int(0.99 * len(ended))] * 1e3 if ended else 0.0)

    for step in range(1, int(scenario.duration_s / step_s) + 1):
        simulation.clock.at(step * step_s, look)
    simulation.run()
    return times, found
