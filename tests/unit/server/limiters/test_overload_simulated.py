"""Limiters under load, on a virtual clock: the bar, and mutants that must not reach it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc.server.limiters.auto_limiter as auto
import pybrpc.server.limiters.service_rate as rate
import pybrpc.server.limiters.timeout_limiter as timeout
from bench.overload.scenarios import SCENARIOS, capacity_per_s
from bench.overload.simulation import Outcome, simulate
from pybrpc.server.limiters.auto_limiter import AutoLimiter
from pybrpc.server.limiters.limiter import ConstantLimiter, Limiter
from pybrpc.server.limiters.sample_window import SampleWindow
from pybrpc.server.limiters.timeout_limiter import TimeoutLimiter

NewLimiter = Callable[[], Limiter | None]

SHORT_S = 20.0


@dataclasses.dataclass(frozen=True)
class Bar:
    """Limits of a scenario, in percent."""

    goodput: float
    rejected: float = 100.0
    p99_ms: float = 1e9


BARS = {
    "50 %": Bar(48, rejected=0.5),
    "90 %": Bar(86, rejected=2),
    "200 %": Bar(92, p99_ms=110),
    "200 %, heavy tail": Bar(85),
    "50 %, 5 s of 300 %": Bar(52),
    "70 %, then twice as slow": Bar(80, p99_ms=170),
    "4 times as slow, then 90 %": Bar(86, rejected=2.5),
    "1 slot, 200 %": Bar(90, p99_ms=550),
    "64 slots, 90 %": Bar(87, rejected=2),
    "64 slots, 200 %": Bar(95),
}
"""The first three are the bar of the project, with margin; the others see what it would miss."""

QUICK = ("50 %", "90 %", "200 %")

LEARNING: dict[str, NewLimiter] = {"auto": AutoLimiter, "timeout": TimeoutLimiter}


def outcome_of(name: str, limiter: Limiter | None, seed: int = 1, **fields: Any) -> Outcome:
    return simulate(dataclasses.replace(SCENARIOS[name], **fields), limiter, seed)


def misses(name: str, limiter: Limiter | None, seed: int = 1) -> list[str]:
    """The limits of a scenario that `limiter` does not reach."""
    bar, scenario = BARS[name], SCENARIOS[name]
    fields: dict[str, Any] = {}
    if len(scenario.per_s) == len(scenario.slowness) == 1:
        fields["seconds"] = 6.0 if scenario.slots > 8 else SHORT_S
        fields["warm_up_s"] = 2.0 if scenario.slots > 8 else scenario.warm_up_s
    outcome = outcome_of(name, limiter, seed, **fields)
    goodput = 100 * outcome.goodput_per_s / capacity_per_s(scenario)
    rejected, p99_ms = 100 * outcome.reject_share, 1000 * outcome.latency_s(0.99)
    found = (
        ("goodput", goodput, goodput >= bar.goodput),
        ("rejected", rejected, rejected <= bar.rejected),
        ("p99", p99_ms, p99_ms <= bar.p99_ms),
    )
    return [f"{name}: {what} {value:.1f}" for what, value, is_reached in found if not is_reached]


@pytest.mark.parametrize("kind", LEARNING)
@pytest.mark.parametrize("name", QUICK)
def test_limiter_reaches_the_bar(name: str, kind: str) -> None:
    assert misses(name, LEARNING[kind]()) == []


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("kind", LEARNING)
@pytest.mark.parametrize("name", BARS)
def test_limiter_reaches_the_bar_whatever_the_dice(name: str, kind: str, seed: int) -> None:
    assert misses(name, LEARNING[kind](), seed) == []


@pytest.mark.proof
@pytest.mark.parametrize("kind", LEARNING)
def test_queue_does_not_grow_while_an_overload_lasts(kind: str) -> None:
    limiter = LEARNING[kind]()
    assert limiter is not None
    scenario = SCENARIOS["200 %, ten minutes"]
    outcome = outcome_of("200 %, ten minutes", limiter)
    assert outcome.goodput_per_s >= 0.95 * capacity_per_s(scenario)
    assert outcome.latency_s(0.99) < 0.110


@pytest.mark.proof
def test_heavy_tail_costs_auto_at_most_a_twentieth() -> None:
    """One call of a hundred takes seven times the mean, and some a hundred times: the variance is
    infinite, so one seed says little."""
    name = "200 %, heavy tail"
    found = [
        outcome_of(name, AutoLimiter(), seed).goodput_per_s / capacity_per_s(SCENARIOS[name])
        for seed in range(1, 7)
    ]
    assert sum(found) / len(found) >= 0.95
    assert min(found) >= 0.92


def test_server_without_limit_answers_nothing_in_time() -> None:
    assert misses("200 %", None)[0].startswith("200 %: goodput 0.")


def test_constant_limit_that_fits_one_server_does_not_fit_another() -> None:
    assert misses("200 %", ConstantLimiter(30)) == []
    assert misses("64 slots, 200 %", ConstantLimiter(30)) != []


def test_requests_without_timeout_count_as_the_configured_one() -> None:
    conf = timeout.TimeoutConcurrencyConf(timeout_ms=100)
    outcome = outcome_of(
        "200 %, no timeouts told", TimeoutLimiter(conf), seconds=SHORT_S, warm_up_s=5.0
    )
    assert outcome.goodput_per_s >= 0.95 * 800


def test_calls_that_come_in_bursts_are_not_rejected() -> None:
    name = "1 slot of 0.1 ms, bursts of 20, 90 %"
    for new_limiter in LEARNING.values():
        outcome = outcome_of(name, new_limiter(), seconds=3.0, warm_up_s=0.5)
        assert outcome.reject_share <= 0.05


# --- mutants: each breaks one rule, and must miss the bar somewhere ---


class AdmitsAll(AutoLimiter):
    def admits(self, concurrency: int, timeout_ms: int, now: float) -> bool:
        return True


class LearnsNothing(AutoLimiter):
    def on_end(self, now: float, latency_s: float, concurrency: int, error_code: int) -> None: ...


class NeverProbes(AutoLimiter):
    def _begin_probe(self, now: float) -> None: ...


class NeverEndsAProbe(AutoLimiter):
    def _end_probe(self, now: float) -> None: ...


class ForgetsTheQueue(AutoLimiter):
    def _set_limit(self) -> None:
        self._limit = max(1, round(self._rate.per_s * self.no_load_s))


class IgnoresTimeouts(TimeoutLimiter):
    def _limit_for(self, timeout_ms: int) -> int:
        return TimeoutLimiter._limit_for(self, 500)


class TakesAllOfTheTimeout(TimeoutLimiter):
    def _limit_for(self, timeout_ms: int) -> int:
        return round(TimeoutLimiter._limit_for(self, timeout_ms) / timeout.SHARE)


class LearnsNoRate(TimeoutLimiter):
    def on_end(self, now: float, latency_s: float, concurrency: int, error_code: int) -> None: ...


def _broken(owner: Any, name: str, value: Any, new: NewLimiter) -> Any:
    return pytest.param(owner, name, value, new, id=f"{name}, {new.__name__}")


@pytest.mark.proof
@pytest.mark.parametrize(
    "mutant",
    [
        AdmitsAll,
        LearnsNothing,
        NeverProbes,
        NeverEndsAProbe,
        ForgetsTheQueue,
        IgnoresTimeouts,
        TakesAllOfTheTimeout,
        LearnsNoRate,
    ],
)
def test_mutant_misses_the_bar(mutant: NewLimiter) -> None:
    assert any(misses(name, mutant()) for name in BARS)


@pytest.mark.proof
@pytest.mark.parametrize(
    ("owner", "name", "value", "new_limiter"),
    [
        _broken(rate, "DOWN", 0.0, AutoLimiter),
        _broken(rate, "DOWN", 0.0, TimeoutLimiter),
        _broken(rate, "UP", 0.0, AutoLimiter),
        _broken(rate, "UP", 0.0, TimeoutLimiter),
        _broken(auto, "QUEUE_S", 0.5, AutoLimiter),
        _broken(auto, "PROBE_WEIGHT", 0.0, AutoLimiter),
        _broken(auto, "mean_concurrency", lambda samples: 1.0, AutoLimiter),
        _broken(timeout, "mean_concurrency", lambda samples: 1.0, TimeoutLimiter),
        _broken(SampleWindow, "_take", lambda window: [], AutoLimiter),
    ],
)
def test_limiter_with_a_broken_rule_misses_the_bar(
    owner: Any, name: str, value: Any, new_limiter: NewLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, value)
    assert any(misses(scenario, new_limiter()) for scenario in BARS)
