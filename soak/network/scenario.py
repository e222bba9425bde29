"""Scenario: what happens to the network while calls are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from soak.network.link_faults import LinkFaults
from soak.network.two_hosts import FAR_IP, NEAR_IP, TwoHosts

Deed = Callable[[TwoHosts], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """Something is done, and then it stays so for some seconds."""

    deed: Deed
    seconds: float


def nothing(hosts: TwoHosts) -> None:
    """All is well."""


def failing(faults: LinkFaults) -> Deed:
    return lambda hosts: hosts.wire.fail(faults)


def cut(hosts: TwoHosts) -> None:
    hosts.wire.cut()


def mend(hosts: TwoHosts) -> None:
    hosts.wire.mend()


def always(faults: LinkFaults) -> tuple[Step, ...]:
    return (Step(failing(faults), 1.5),)


WELL = Step(nothing, 0.4)
BACK = Step(mend, 1.2)

SCENARIOS: dict[str, tuple[Step, ...]] = {
    "nothing": (WELL,),
    "delay": always(LinkFaults(delay_s=0.02, jitter_s=0.01)),
    "loss of 2 %": always(LinkFaults(loss=0.02)),
    "loss of 20 %": always(LinkFaults(loss=0.2)),
    "reordering": always(LinkFaults(delay_s=0.002, reorder=0.25)),
    "duplication": always(LinkFaults(duplicate=0.3)),
    "corruption": always(LinkFaults(corrupt=0.03)),
    "all of these": always(
        LinkFaults(
            delay_s=0.005, jitter_s=0.005, loss=0.02, duplicate=0.05, reorder=0.1, corrupt=0.01
        )
    ),
    "cut, back in time": (WELL, Step(cut, 0.6), BACK),
    "cut, back too late": (WELL, Step(cut, 2.5), BACK),
    "cut for good": (WELL, Step(cut, 1.0)),
    "flapping": (Step(mend, 0.3), Step(cut, 0.3)) * 3 + (BACK,),
    "requests vanish": (WELL, Step(lambda hosts: hosts.wire.cut(to_near=False), 2.5), BACK),
    "answers vanish": (WELL, Step(lambda hosts: hosts.wire.cut(to_far=False), 2.5), BACK),
    "cut before SYN": (Step(cut, 1.3), BACK),
    "cut in TLS handshake": (Step(lambda hosts: hosts.wire.cut_after(to_near=300), 1.5), BACK),
    "cut in a request": (
        WELL,
        Step(lambda hosts: hosts.wire.cut_after(to_far=100_050), 2.5),
        BACK,
    ),
    "cut in an answer": (
        WELL,
        Step(lambda hosts: hosts.wire.cut_after(to_near=100_050), 2.5),
        BACK,
    ),
    "own interface off": (
        WELL,
        Step(lambda hosts: hosts.near.switch_off(), 2.0),
        Step(lambda hosts: hosts.near.switch_on(), 1.2),
    ),
    "own address gone": (
        WELL,
        Step(lambda hosts: hosts.near.remove_address(NEAR_IP), 2.0),
        Step(lambda hosts: hosts.near.add_address(NEAR_IP), 1.2),
    ),
    "peer's address gone": (
        WELL,
        Step(lambda hosts: hosts.far.remove_address(FAR_IP), 2.0),
        Step(lambda hosts: hosts.far.add_address(FAR_IP), 1.2),
    ),
}
"""The first step is taken before anybody calls; the last one stays until all calls have ended."""
