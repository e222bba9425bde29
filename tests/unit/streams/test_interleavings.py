"""Streams in interleavings: small scenarios in every one, all in random ones; mutants must fail."""

from __future__ import annotations

import pytest

from pybrpc.testing.step_scheduler import ScheduleFailure, explore, explore_randomly
from tests.schedules.stream_mutants import MUTANTS, Mutant
from tests.schedules.stream_scenarios import SCENARIOS, SMALL, scenario_of

pytestmark = pytest.mark.python_only

MOST_SEEDS = 2000
"""Within which every mutant is caught."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_interleaving_with_few_preemptions(name: str) -> None:
    assert explore(scenario_of(name), max_preemptions=1, max_schedules=20_000) > 50


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", SCENARIOS)
def test_random_interleavings(name: str, seeds: range) -> None:
    assert explore_randomly(scenario_of(name), seeds) == len(seeds)


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught_and_its_seed_catches_it_again(mutant: Mutant) -> None:
    scenario = scenario_of(mutant.scenario, *mutant.mutations)
    with pytest.raises(ScheduleFailure) as caught:
        explore_randomly(scenario, range(MOST_SEEDS))
    seed = caught.value.seed
    assert seed is not None
    with pytest.raises(ScheduleFailure):
        explore_randomly(scenario, [seed])
    explore_randomly(scenario_of(mutant.scenario), [seed])
