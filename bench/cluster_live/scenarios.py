"""Scenarios: what happens to the servers while a client calls, and the run of one of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cluster_live.callers import Caller, Client, wait_for_calls
from bench.cluster_live.host import SERVICE_S
from bench.cluster_live.load import Outcome
from bench.cluster_live.servers import LiveServer, LiveServers

TIMES_SLOWER = 20
TIMEOUT_S = 1.0
NOTICE_S = 1.0
"""For so long callers may notice a fault."""


class Names:
    """The file in which a naming service finds the servers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"file://{path}"

    def write(self, addresses: Sequence[str]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text("\n".join(addresses))
        os.replace(fresh, self._path)


@dataclass(frozen=True, slots=True)
class Load:
    """How a client calls."""

    per_s: float
    before: int
    """Calls before anything happens."""
    during: int
    timeout_s: float = TIMEOUT_S
    retries: bool = False
    service_s: float = SERVICE_S
    """The time of a good handler."""


class Stage:
    """The things that a scenario works on."""

    def __init__(self, servers: LiveServers, names: Names, caller: Caller, load: Load) -> None:
        self.servers = servers
        self.names = names
        self.calls = load.during
        """How many are to be made while things are as the scenario says."""
        self.slow_s = TIMES_SLOWER * load.service_s
        """The time of a handler of a slow server."""
        self._caller = caller

    def wait_for_calls(self, count: int) -> None:
        wait_for_calls(self._caller, count)

    def wait_for_all(self) -> None:
        self.wait_for_calls(self.calls)


Deed = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`alone`: servers that have a process of their own, the first ones."""

    name: str
    deed: Deed
    """Returns when its calls have been made."""
    servers: int = 10
    alone: int = 1
    grace_timeouts: int = 0
    """Timeouts, beside a second, for which callers may notice the fault."""
    uses_names: bool = False


def nothing(stage: Stage) -> None:
    stage.wait_for_all()


def slow(stage: Stage) -> None:
    stage.servers[0].sleep(stage.slow_s)
    stage.wait_for_all()


def failing(stage: Stage) -> None:
    stage.servers[0].fail()
    stage.wait_for_all()


def black_hole(stage: Stage) -> None:
    stage.servers[0].pause()
    stage.wait_for_all()


def flapping(stage: Stage) -> None:
    """Killed, started again when a tenth of the calls have been made, and so on."""
    _flap(stage, stage.servers[0], turns=5)


def _flap(stage: Stage, server: LiveServer, turns: int) -> None:
    for _ in range(turns):
        server.kill()
        stage.wait_for_calls(stage.calls // turns // 2)
        server.revive()
        stage.wait_for_calls(stage.calls // turns // 2)


def restart(stage: Stage) -> None:
    """Restart all servers, one after the other."""
    _restart(stage, stage.servers.servers)


def _restart(stage: Stage, servers: Sequence[LiveServer]) -> None:
    for server in servers:
        server.stop()
        stage.wait_for_calls(stage.calls // len(servers) // 2)
        server.start()
        stage.wait_for_calls(stage.calls // len(servers) // 2)


def changing_names(stage: Stage) -> None:
    """Another part of the servers is listed, again and again."""
    addresses = stage.servers.addresses
    turns = len(addresses) // 2
    for turn in range(turns):
        stage.names.write(addresses[turn : turn + turns])
        stage.wait_for_calls(stage.calls // turns)


def everything(stage: Stage) -> None:
    """One is slow, one fails at once, one is a black hole, one flaps; the others are restarted, and
    the list changes."""
    stage.servers[3].pause()
    everything_but_a_hole(stage)


def everything_but_a_hole(stage: Stage) -> None:
    slow_one, failing_one, flaps, *others = stage.servers.servers
    others = others[1:]
    slow_one.sleep(stage.slow_s)
    failing_one.fail()
    each = stage.calls // (len(others) + 1)
    flaps.kill()
    for turn, server in enumerate(others):
        listed = [other.address for other in stage.servers.servers if other is not server]
        if turn % 4 == 3:
            flaps.revive()
        server.stop()
        stage.names.write(listed if turn % 2 else stage.servers.addresses)
        stage.wait_for_calls(each // 2)
        server.start()
        if turn % 4 == 1:
            flaps.kill()
        stage.wait_for_calls(each // 2)
    flaps.revive()
    stage.names.write(stage.servers.addresses)
    stage.wait_for_calls(each)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("all is well", nothing),
        Scenario(f"one {TIMES_SLOWER} times slower", slow),
        Scenario("one fails at once", failing),
        Scenario("one black hole", black_hole, grace_timeouts=1),
        Scenario("one killed again and again", flapping),
        Scenario("rolling restart of 20", restart, servers=20, alone=0),
        Scenario("names change, 20", changing_names, servers=20, alone=0, uses_names=True),
        Scenario(
            "all of these, 20", everything, servers=20, alone=4, grace_timeouts=1, uses_names=True
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one run."""

    outcome: Outcome
    ran_before: list[int]
    """Handlers of each server until the fault."""
    ran: list[int]
    """Handlers of each server since then, those of killed processes apart."""


def can_run(scenario: Scenario, client: Client) -> bool:
    """Whether the client knows what the scenario needs."""
    return client.reads_files or not scenario.uses_names or scenario.deed is everything


def run(scenario: Scenario, client: Client, load: Load) -> Found:
    """The client calls, then things happen, and go on until all calls have been made."""
    with (
        LiveServers(client.servers, scenario.servers, scenario.alone, load.service_s) as servers,
        _names() as names,
    ):
        names.write(servers.addresses)
        uses_names = scenario.uses_names and client.reads_files
        where = names.url if uses_names else servers.addresses
        caller = client.start(where, load.per_s, load.timeout_s, load.retries)
        with contextlib.closing(caller):
            wait_for_calls(caller, load.before)
            ran_before = servers.ran()
            caller.note_fault(NOTICE_S + scenario.grace_timeouts * load.timeout_s)
            scenario.deed(Stage(servers, names, caller, load))
            outcome = caller.end()
        for server in servers.servers:
            server.go_on()
        ran = [max(0, b - a) for a, b in zip(ran_before, servers.ran(), strict=True)]
        return Found(outcome, ran_before, ran)


@contextlib.contextmanager
def _names() -> Iterator[Names]:
    with tempfile.TemporaryDirectory() as folder:
        yield Names(Path(folder) / "servers")
