"""How the plots look: a figure that is written as SVG, and a colour for each peer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE_INCHES = (8.0, 4.5)
OURS = ("#c0392b", "#e67e22", "#8e44ad", "#f1c40f")
COOL = ("#1f77b4", "#2ca02c", "#17becf", "#1b4f72", "#7d9b2c", "#0b6e4f", "#a3c1ad")
BARE = ("#7f8c8d", "#34495e")

SETTINGS: Any = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.family": "sans-serif"}
"""Text stays text, and the same numbers make the same file."""


@contextlib.contextmanager
def svg(path: Path, title: str) -> Iterator[Axes]:
    """Axes to draw on; written to `path` afterwards."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        yield axes
        axes.legend(fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})


def colour_of(peer: str, peers: list[str]) -> str:
    """Warm for pybrpc, grey for what is no RPC, others as they come."""
    if peer.startswith("pybrpc"):
        ours = [name for name in peers if name.startswith("pybrpc")]
        return OURS[ours.index(peer) % len(OURS)]
    if peer.startswith(("socket", "protocol")):
        bare = [name for name in peers if name.startswith(("socket", "protocol"))]
        return BARE[bare.index(peer) % len(BARE)]
    others = [name for name in peers if not name.startswith(("pybrpc", "socket", "protocol"))]
    return COOL[others.index(peer) % len(COOL)]
