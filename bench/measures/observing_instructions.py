"""Instructions of a call, with metrics, without, and with rpcz, counted by callgrind.

They are the same again within one percent, where times are not: see bench.instructions. A round
takes minutes, whatever the time of the others is, and the rounds hardly differ.
"""

from __future__ import annotations

import shutil

from bench.figures import Figures
from bench.instructions import SIDES, per_call
from bench.measures import observing_calls, runs
from bench.measures.measure import Measure
from bench.site import Site
from bench.work import ClosedLoop, Window, Work

CALLS = 1500


def missing(name: str) -> str:
    """Why the entry of that name can't take part, or ""."""
    return runs.missing(name) or ("" if shutil.which("valgrind") else "there is no valgrind")


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    assert isinstance(work, ClosedLoop)
    found = {side: per_call(side, name, work.in_flight, CALLS)[""] for side in SIDES}
    return {f"{side}_instructions": number for side, number in found.items()}


MEASURE = Measure(
    name="observing-instructions",
    title="Instructions of an echo of 32 bytes, with metrics, without, and with rpcz",
    axis="in flight",
    points=observing_calls.MEASURE.points,
    peers=observing_calls.MEASURE.peers,
    run=run,
    tables=("server_instructions", "client_instructions"),
    missing=missing,
    is_extra=True,
    group="observing",
)
