"""The loads that limiters are judged by, simulated."""

from __future__ import annotations

from bench.cluster.faults import exponential, heavy_tailed
from bench.overload.simulation import Scenario

SERVICE_S = 0.010
USUAL = exponential(SERVICE_S)

SCENARIOS = {
    "50 %": Scenario(((0, 400),), USUAL),
    "90 %": Scenario(((0, 720),), USUAL),
    "200 %": Scenario(((0, 1600),), USUAL),
    "200 %, no timeouts told": Scenario(((0, 1600),), USUAL, tells_timeout=False),
    "200 %, heavy tail": Scenario(((0, 1600),), heavy_tailed(SERVICE_S)),
    "200 %, ten minutes": Scenario(((0, 1600),), USUAL, seconds=600),
    "50 %, 5 s of 300 %": Scenario(((0, 400), (30, 2400), (35, 400)), USUAL),
    "70 %, then twice as slow": Scenario(
        ((0, 560),), USUAL, slowness=((0, 1), (30, 2)), warm_up_s=35
    ),
    "4 times as slow, then 90 %": Scenario(
        ((0, 720),), USUAL, slowness=((0, 4), (30, 1)), warm_up_s=35
    ),
    "1 slot, 90 %": Scenario(((0, 90),), USUAL, slots=1, timeout_s=0.5),
    "1 slot, 200 %": Scenario(((0, 200),), USUAL, slots=1, timeout_s=0.5),
    "64 slots, 90 %": Scenario(((0, 5760),), USUAL, slots=64, seconds=20),
    "64 slots, 200 %": Scenario(((0, 12800),), USUAL, slots=64, seconds=20),
    "1 slot of 0.1 ms, bursts of 20, 90 %": Scenario(
        ((0, 9000),), exponential(0.0001), slots=1, burst=20, seconds=20
    ),
}
"""By name: the load in percent of what the server can do. 8 slots, unless the name says more."""


def capacity_per_s(scenario: Scenario) -> float:
    """Calls that the server can end in a second, at the end of the scenario."""
    mean_s = 0.0001 if scenario.burst > 1 else SERVICE_S
    return scenario.slots / (mean_s * scenario.slowness[-1][1])
