"""Runs one client process, and reads the servers' processor time when it begins and ends."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from bench.child_process import LINE_LIMIT_S, ChildFailedError, ChildProcess
from bench.figures import Figures
from bench.meter import BEGIN, END
from bench.peers.brpc_cpp import Server
from bench.work import Window, Work, as_text


def run_client_process(
    role: str,
    name: str,
    work: Work,
    window: Window,
    port: int | None = None,
    servers: Sequence[Server] = (),
    environment: Mapping[str, str] | None = None,
) -> Figures:
    """The figures of a client that runs `role` of child.py, with the servers' processor time."""
    times = json.dumps(dataclasses.astuple(window))
    rest = () if port is None else (port,)
    limit_s = LINE_LIMIT_S + window.warm_up_s + window.measure_s
    with ChildProcess.of_bench(
        role,
        name,
        as_text(work),
        times,
        *rest,
        name=f"the client of {name}",
        environment=environment,
    ) as client:
        expect(client, BEGIN, limit_s)
        before_s = sum(server.cpu_s() for server in servers)
        expect(client, END, limit_s)
        after_s = sum(server.cpu_s() for server in servers)
        figures: Figures = json.loads(client.read_line(limit_s))
    if servers:
        figures["server_cpu_us"] = (after_s - before_s) / max(1.0, figures["calls"]) * 1e6
    return figures


def expect(client: ChildProcess, word: str, limit_s: float) -> None:
    line = client.read_line(limit_s)
    if line != word:
        raise ChildFailedError(f"a client said {line!r} instead of {word!r}")
