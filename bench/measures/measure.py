"""Measure: one question to several peers, at several points of an axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.figures import Figures
from bench.site import Site
from bench.work import Window, Work

Run = Callable[[Site, str, Work, Window], Figures]
"""One measurement: `run(site, peer, work, window)`."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A question, the peers that it is put to, and how the answers are shown.

    name      in one word
    axis      what the points are
    points    their names, and the work of each
    peers     names of entries, or other names that `run` knows; the first is pybrpc
    run       makes one measurement
    tables    the figures that get a table; the first one is the main figure
    plots     those that get a plot over the points
    missing   why a peer can't take part, or ""
    lasts     how many times as long as the others it takes
    is_extra  only when asked for
    group     another name, under which several measures are asked for together
    """

    name: str
    title: str
    axis: str
    points: Mapping[str, Work]
    peers: Sequence[str]
    run: Run
    tables: Sequence[str]
    missing: Callable[[str], str]
    plots: Sequence[str] = field(default=())
    lasts: float = 1.0
    is_extra: bool = False
    group: str = ""
