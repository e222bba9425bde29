"""python docs/diagrams/draw.py: draws the diagrams of the pages, one SVG for each.

A diagram is a list of boxes on a grid, and of arrows between them. The panel has a colour of its
own, and follows the reader's setting of light or dark.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
COLUMN, ROW, MARGIN = 196, 84, 24
WIDTH, HEIGHT = 164, 50
LAYER_ROW, LAYER_WIDTH = 34, 210
STYLE = """
    svg { font-family: system-ui, sans-serif; font-size: 12px; }
    .panel { fill: #ffffff; } .box { fill: #eef1fb; stroke: #5566bb; }
    .area { fill: none; stroke: #9aa3c7; stroke-dasharray: 4 4; }
    .strong { fill: #dbe3ff; stroke: #3949ab; stroke-width: 2; }
    text { fill: #22263a; } .small { fill: #5a607a; font-size: 10.5px; }
    .line { stroke: #5a607a; fill: none; stroke-width: 1.4; } .tip { fill: #5a607a; }
    @media (prefers-color-scheme: dark) {
        .panel { fill: #1e2129; } .box { fill: #2b3047; stroke: #8c9eff; }
        .strong { fill: #364078; stroke: #b3c0ff; } .area { stroke: #6b7397; }
        text { fill: #e6e8f2; } .small { fill: #aab0c8; }
        .line { stroke: #aab0c8; } .tip { fill: #aab0c8; }
    }
"""


@dataclass(frozen=True)
class Box:
    """A box at a column and a row of the grid, with a second, smaller line."""

    column: float
    row: float
    title: str
    note: str = ""
    is_strong: bool = False

    @property
    def x(self) -> float:
        return MARGIN + self.column * COLUMN

    @property
    def y(self) -> float:
        return MARGIN + self.row * ROW

    def drawn(self) -> str:
        kind = "strong" if self.is_strong else "box"
        middle = self.x + WIDTH / 2
        first = self.y + (22 if self.note else 29)
        text = f'<text x="{middle}" y="{first}" text-anchor="middle">{escape(self.title)}</text>'
        if self.note:
            text += (
                f'<text class="small" x="{middle}" y="{self.y + 38}" text-anchor="middle">'
                f"{escape(self.note)}</text>"
            )
        return (
            f'<rect class="{kind}" x="{self.x}" y="{self.y}" width="{WIDTH}" height="{HEIGHT}" '
            f'rx="6"/>{text}'
        )


@dataclass(frozen=True)
class Arrow:
    """From a box to another one, by their places in the list."""

    start: int
    end: int
    label: str = ""


@dataclass(frozen=True)
class Area:
    """A dashed frame around a part of the grid."""

    column: float
    row: float
    columns: float
    rows: float
    title: str

    def drawn(self) -> str:
        x, y = MARGIN + self.column * COLUMN - 12, MARGIN + self.row * ROW - 12
        width, height = self.columns * COLUMN - COLUMN + WIDTH + 24, self.rows * ROW
        return (
            f'<rect class="area" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
            f'<text class="small" x="{x + 8}" y="{y + 13}">{escape(self.title)}</text>'
        )


@dataclass(frozen=True)
class Diagram:
    """The content of one file. `title` is for readers that can't see it."""

    title: str
    columns: int
    rows: float
    boxes: list[Box]
    arrows: list[Arrow]
    areas: tuple[Area, ...] = ()

    def drawn(self) -> str:
        width = 2 * MARGIN + self.columns * COLUMN - (COLUMN - WIDTH)
        height = 2 * MARGIN + (self.rows - 1) * ROW + HEIGHT
        parts = [
            *(area.drawn() for area in self.areas),
            *(self._arrow(arrow) for arrow in self.arrows),
            *(box.drawn() for box in self.boxes),
        ]
        return panel(self.title, width, height, parts)

    def _arrow(self, arrow: Arrow) -> str:
        start, end = self.boxes[arrow.start], self.boxes[arrow.end]
        (x1, y1), (x2, y2) = sides(start, end)
        line = f'<path class="line" d="M{x1},{y1} L{x2},{y2}" marker-end="url(#tip)"/>'
        if not arrow.label:
            return line
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        anchor, shift = ("middle", -5) if abs(y1 - y2) < 1 else ("start", 3)
        x += 0 if anchor == "middle" else 7
        return (
            f'{line}<text class="small" x="{x}" y="{y + shift}" text-anchor="{anchor}">'
            f"{escape(arrow.label)}</text>"
        )


def sides(start: Box, end: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a line leaves the one box and meets the other."""
    if abs(start.column - end.column) >= 1:
        right = start.column < end.column
        return (
            (start.x + (WIDTH if right else 0), start.y + HEIGHT / 2),
            (end.x + (0 if right else WIDTH), end.y + HEIGHT / 2),
        )
    down = start.row < end.row
    return (
        (start.x + WIDTH / 2, start.y + (HEIGHT if down else 0)),
        (end.x + WIDTH / 2, end.y + (0 if down else HEIGHT)),
    )


CALL = Diagram(
    "One call, from the stub to the handler and back",
    5,
    3.2,
    [
        Box(0, 0.15, "stub.Echo(request)", "deadline, serialized body"),
        Box(1, 0.15, "Call", "attempts, retries"),
        Box(2, 0.15, "RpcConnection", "correlation id → attempt"),
        Box(3, 0.15, "Socket", "queue, one writer", True),
        Box(4, 0.15, "kernel", "one system call for many"),
        Box(4, 2.15, "kernel", "one read, many messages"),
        Box(3, 2.15, "ServerConnection", "cut into messages", True),
        Box(2, 2.15, "Admission", "limits, deadline, stopping"),
        Box(1, 2.15, "worker or loop", "def, or async def"),
        Box(0, 2.15, "handler", "returns the response"),
    ],
    [Arrow(i, i + 1) for i in range(9)],
    (Area(0, 0, 5, 1.1, "client"), Area(0, 2, 5, 1.1, "server")),
)
WRITING = Diagram(
    "The write path: many threads and tasks, one writer at a time",
    4,
    3,
    [
        Box(0, 0, "thread", "writes a request"),
        Box(0, 1, "another thread", "writes a request"),
        Box(0, 2, "asyncio task", "writes a request"),
        Box(1, 1, "WriteQueue.push", "one atomic exchange", True),
        Box(2, 0.5, "it was empty", "this caller has the write right"),
        Box(2, 1.5, "it was not empty", "this caller returns at once"),
        Box(3, 0.5, "one system call", "up to 256 requests, of all", True),
    ],
    [Arrow(0, 3), Arrow(1, 3), Arrow(2, 3), Arrow(3, 4), Arrow(3, 5), Arrow(4, 6)],
)
LAYERS = re.compile(r"## Layers.*?```\n(.*?)```", re.DOTALL)


def layers() -> str:
    """Those of ARCHITECTURE.md, an upper one above the lower ones that it may import."""
    found = LAYERS.search((HERE.parents[1] / "ARCHITECTURE.md").read_text())
    assert found is not None
    parts = []
    lines = [line for line in found[1].splitlines() if line]
    for place, line in enumerate(lines):
        left, _, note = re.sub(r"  +", "\0", line, count=1).partition("\0")
        names = left.split(" | ")
        y = MARGIN + place * LAYER_ROW
        width = (LAYER_WIDTH - 8 * (len(names) - 1)) / len(names)
        kind = "strong" if names[0] in ("client", "transport") else "box"
        for column, name in enumerate(names):
            x = MARGIN + column * (width + 8)
            parts.append(
                f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="26" rx="5"/>'
                f'<text x="{x + width / 2}" y="{y + 17}" text-anchor="middle">{name}</text>'
            )
        x = MARGIN + LAYER_WIDTH + 16
        parts.append(
            f'<text class="small" x="{x}" y="{y + 17}">{escape(note.replace("`", ""))}</text>'
        )
    height = 2 * MARGIN + len(lines) * LAYER_ROW - 8
    title = "The layers of the package; each imports lower ones only"
    return panel(title, 2 * MARGIN + LAYER_WIDTH + 590, height, parts)


def panel(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    """An SVG with these parts on a panel."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path class="tip" d="M0,0 L8,4 L0,8 z"/></marker>'
            "</defs>",
            f'<rect class="panel" width="{width}" height="{height}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def drawings() -> dict[str, str]:
    """The name and the text of each file."""
    return {"call": CALL.drawn(), "write-path": WRITING.drawn(), "layers": layers()}


def main() -> int:
    for name, text in drawings().items():
        (HERE / f"{name}.svg").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
