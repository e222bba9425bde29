"""The tables of `python -m bench.cluster`: a row for each scenario, a column for each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median

from bench.cluster import failures, scenarios
from bench.cluster.channel_settings import ChannelSettings, NoBreaker
from bench.cluster.faults import FaultKind
from bench.cluster.results import Results
from bench.cluster.scenario import Scenario
from bench.cluster.simulation import Progress, Simulation
from bench.cluster.subset_loads import CASES, WAYS, loads
from pybrpc.client.channel.options import DEFAULT_RETRY_BUDGET
from pybrpc.client.cluster.breaking.breaker import CircuitBreaker
from pybrpc.client.cluster.breaking.ema_circuit_breaker import EmaCircuitBreaker
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.auto_limiter import AutoLimiter

BALANCERS = ("rr", "random", "la", "p2c", "p2c_ewma")
BREAKERS: dict[str, Callable[[], CircuitBreaker]] = {
    "off": NoBreaker,
    "outlier": OutlierDetection,
    "ema": EmaCircuitBreaker,
}


def channel(load_balancer: str, breaker: str = "outlier", budget: bool = True) -> ChannelSettings:
    """The settings of a channel. Without a breaker no slow start either."""
    allowed = DEFAULT_RETRY_BUDGET if budget else None
    return ChannelSettings(load_balancer, BREAKERS[breaker](), allowed)


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario, and the figure of it that is shown."""

    scenario: Scenario
    unit: str
    figure: Callable[[Results], float]
    digits: int = 2

    @property
    def title(self) -> str:
        return f"{self.scenario.name} ({self.unit})"

    def value(self, settings: ChannelSettings, seeds: range, progress: Progress | None) -> float:
        """The median over the seeds."""
        runs = (Simulation(self.scenario, settings, seed).run(progress) for seed in seeds)
        return median(self.figure(results) for results in runs)


def p99_ms(results: Results) -> float:
    return results.p99_s * 1e3


def failed_percent(results: Results) -> float:
    return results.failed_share * 100


def last_share_percent(results: Results) -> float:
    return results.shares[-1] * 100


def attempts_per_call(results: Results) -> float:
    return results.attempts / max(results.calls, 1)


def _p99(scenario: Scenario) -> Row:
    return Row(scenario, "p99, ms", p99_ms, 1)


def _failed(scenario: Scenario) -> Row:
    return Row(scenario, "failed, %", failed_percent, 3)


def _after(scenario: Scenario, seconds: float) -> Scenario:
    """Calls count from then on, 3 s long."""
    return replace(
        scenario,
        name=f"{scenario.name}, after {seconds:g} s",
        measured_from=seconds,
        duration_s=seconds + 3.0,
    )


def balancing_rows() -> list[Row]:
    """Slow, new and broken servers."""
    return [
        _p99(scenarios.STEADY),
        _p99(scenarios.one_slow()),
        _p99(scenarios.one_slow(20.0, 10, 0.0)),
        _p99(scenarios.half_slow()),
        _p99(scenarios.antagonists()),
        _p99(scenarios.small_clients(antagonists=True)),
        _p99(scenarios.small_clients(antagonists=False)),
        Row(scenarios.newcomer(2), "its calls, %", last_share_percent),
        Row(scenarios.newcomer(9), "its calls, %", last_share_percent),
    ]


def failure_rows() -> list[Row]:
    """Servers that fail, and callers that see it."""
    many = replace(scenarios.broken(), name="the same, 10 clients", clients=10, rate=2000.0)
    overcrowded = int(ErrorCode.EOVERCROWDED)
    storm = replace(failures.all_fail(overcrowded), duration_s=3.4, measured_from=1.5)
    return [
        _failed(_after(scenarios.broken(), 1.0)),
        _failed(_after(scenarios.broken(FaultKind.FLAPS), 1.0)),
        _failed(_after(scenarios.broken(FaultKind.BLACK_HOLE), 0.5)),
        _failed(_after(many, 1.0)),
        _failed(failures.rolling_restart()),
        _p99(replace(failures.rolling_restart(20, 0.5, 14_000.0), name="the same, 70 % load")),
        _failed(failures.changing_names()),
        Row(storm, "attempts per call", attempts_per_call),
        _failed(
            replace(
                failures.overloaded(0.9, AutoLimiter, 0), name="limiters auto, 90 %, no retries"
            )
        ),
        Row(
            replace(failures.overloaded(2.0, AutoLimiter), name="limiters auto, 200 %"),
            "goodput, %",
            lambda results: results.in_time_per_s / 80.0,
            1,
        ),
    ]


def lines(
    rows: list[Row],
    columns: Mapping[str, ChannelSettings],
    only: str,
    seeds: range,
    progress: Callable[[str], Progress],
) -> Iterator[str]:
    """The lines of a table. `progress` makes what hears how far the run of a cell is."""
    found = [row for row in rows if only.lower() in row.title.lower()]
    if found:
        yield f"{'':50}" + "".join(f"{name:>18}" for name in columns)
    for row in found:
        cells = [
            f"{row.value(settings, seeds, progress(f'{row.title}, {name}')):.{row.digits}f}"
            for name, settings in columns.items()
        ]
        yield f"{row.title:50}" + "".join(f"{cell:>18}" for cell in cells)


def subset_lines() -> Iterator[str]:
    yield "Load of servers by subsets, least and most as a multiple of the mean"
    for clients, servers, size in CASES:
        cells = []
        for way in WAYS:
            found = loads(way, clients, servers, size)
            cells.append(f"  {way} {min(found):.2f} .. {max(found):.2f}")
        yield f"{clients} clients, {servers} servers, {size} each:" + "".join(cells)
