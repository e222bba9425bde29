"""Matrix: each cell is run between two processes on two hosts, one cell after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from bench.child_process import ChildProcess
from soak.network.callers import HANG_S
from soak.network.cell import Cell, CellResult
from soak.network.hosted import SETTLE_S
from soak.network.scenario import SCENARIOS
from soak.network.two_hosts import FAR_IP, Host, TwoHosts, two_hosts
from soak.tls import tls_pair

LIMIT_S = HANG_S + SETTLE_S + 30.0


class Matrix:
    """The processes of one implementation, and how a cell is run between them."""

    def __init__(self, hosts: TwoHosts, server: ChildProcess, client: ChildProcess) -> None:
        self._hosts = hosts
        self._server = server
        self._client = client
        self._addresses = json.loads(server.read_line())

    def run(self, cell: Cell) -> CellResult:
        """Blocks for some seconds. ChildFailedError if a process dies or hangs."""
        before, steps = self._hosts.wire.counts(), SCENARIOS[cell.scenario]
        try:
            steps[0].deed(self._hosts)
            self._begin(cell)
            time.sleep(steps[0].seconds)
            for step in steps[1:]:
                step.deed(self._hosts)
                time.sleep(step.seconds)
            client = self._ask(self._client)
            # Before anything is mended: the server has to find by itself who has vanished.
            server = self._ask(self._server)
        finally:
            self._hosts.wire.mend()
        faults = self._hosts.wire.counts()
        faults.subtract(before)
        return CellResult.of(cell, client, server, dict(+faults))

    def _begin(self, cell: Cell) -> None:
        kind = "threads" if cell.form == "threads" else "tasks"
        address = self._addresses[f"{cell.security} {kind}"]
        line = json.dumps({**dataclasses.asdict(cell), "address": address})
        found = self._ask(self._client, line)
        if found["impl"] != cell.impl:
            raise RuntimeError(f"{cell.impl} was asked for, {found['impl']} runs")

    def _ask(self, process: ChildProcess, line: str = "") -> Any:
        process.write_line(line)
        return json.loads(process.read_line(LIMIT_S))


@contextlib.contextmanager
def open_matrix(impl: str, seed: int) -> Iterator[Matrix]:
    """Two hosts, a server on the far one, a client on the near one."""
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(two_hosts(seed))
        tls = stack.enter_context(tls_pair(FAR_IP))
        assert tls.server is not None
        assert tls.client is not None
        serve = ("serve", FAR_IP, tls.server.cert, tls.server.key)
        server = stack.enter_context(_process(hosts.far, impl, *serve))
        client = stack.enter_context(_process(hosts.near, impl, "call", tls.client.ca))
        yield Matrix(hosts, server, client)


def run_cells(cells: Iterable[Cell], seed: int) -> Iterator[CellResult]:
    """Each of them, in the order in which implementations come."""
    by_impl: dict[str, list[Cell]] = {}
    for cell in cells:
        by_impl.setdefault(cell.impl, []).append(cell)
    for impl, group in by_impl.items():
        with open_matrix(impl, seed) as matrix:
            yield from map(matrix.run, group)


def totals_by_scenario(results: Iterable[CellResult]) -> dict[str, Counter[str]]:
    """The numbers of all cells of a scenario together, its failures among them."""
    rows: dict[str, Counter[str]] = {}
    for result in results:
        row = rows.setdefault(result.cell.scenario, Counter())
        row.update({"started": result.started, "answered": result.answered})
        row.update({"failed": result.failed, **result.must_be_0})
        row.update({f"error {name}": count for name, count in result.failures.items()})
        row.update({f"packets {name}": count for name, count in result.faults.items()})
    return rows


def _process(host: Host, impl: str, *arguments: Any) -> ChildProcess:
    command = [sys.executable, "-m", "soak.network.hosted", *map(str, arguments)]
    with host.entered():
        return ChildProcess(command, {"PYBRPC_IMPL": impl}, arguments[0])
