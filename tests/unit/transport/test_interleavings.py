"""Socket in interleavings: small scenarios in every one, all in random ones; mutants must fail.

`pytest --seed 17 -k ...` runs the one that failed again, `--schedules 1000000` takes hours.
"""

from __future__ import annotations

import pytest

from pybrpc.testing.step_scheduler import ScheduleFailure, explore, explore_randomly, replay
from tests.schedules.mutants import MUTANTS, Mutant
from tests.schedules.scenarios import SCENARIOS, SMALL, scenario_of

pytestmark = pytest.mark.python_only

MOST_SEEDS = 10_000
"""Within which every mutant is caught, most of them by one of the first ten."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_interleaving_with_few_preemptions(name: str) -> None:
    assert explore(scenario_of(name), max_preemptions=SMALL[name][1], max_schedules=20_000) > 100


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", SCENARIOS)
def test_random_interleavings(name: str, seeds: range) -> None:
    assert explore_randomly(scenario_of(name), seeds) == len(seeds)


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.guarantee}-{mutant.name}")
def test_mutant_is_caught_and_its_seed_catches_it_again(mutant: Mutant) -> None:
    scenario = scenario_of(mutant.scenario, *mutant.mutations)
    with pytest.raises(ScheduleFailure) as caught:
        explore_randomly(scenario, range(MOST_SEEDS))
    seed = caught.value.seed
    assert seed is not None
    assert f"seed {seed}, or replay(" in str(caught.value)
    with pytest.raises(ScheduleFailure) as again:
        explore_randomly(scenario, [seed])
    assert again.value.choices == caught.value.choices
    with pytest.raises(ScheduleFailure):
        replay(scenario, caught.value.choices)
    explore_randomly(scenario_of(mutant.scenario), [seed])
