"""The flame graph of a profile, as SVG without script or style.

Each box is an SVG of its own, whose width is a percentage: so the graph is as wide as the screen,
texts keep their size, and a box cuts off its text. A box is a link to the graph that has this box
at its full width, and has a title that the browser shows.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.profiling.call_tree import Node
from pybrpc.builtin.profiling.profile import shown_value

MAX_BOXES = 3_000
MIN_SHARE = 0.001
"""Narrower boxes are left out, as a share of the whole width."""
ROW = 18
"""Height of a box, in pixels."""
MAX_PATH = 200
"""Levels of the path to the box in focus."""
_LETTER_SHARE = 0.004
"""A narrower box has no text."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node at its place; `left` and `share` are parts of the whole width."""

    node: Node
    level: int
    left: float
    share: float
    path: tuple[int, ...]
    """From the root: the number of each child in its parent's order."""


def find_focus(root: Node, path: str) -> tuple[list[Node], tuple[int, ...]]:
    """The nodes from the root to that of `path`, such as "0.2.1", and the path as far as it leads
    to a node."""
    nodes, found = [root], list[int]()
    for part in path.split(".", MAX_PATH)[:MAX_PATH]:
        children = nodes[-1].ordered()
        if not part.isascii() or not part.isdigit() or len(part) > 6 or int(part) >= len(children):
            break
        found.append(int(part))
        nodes.append(children[int(part)])
    return nodes, tuple(found)


def boxes_of(root: Node, path: str = "") -> list[Box]:
    """The boxes of the graph with the node of `path` at full width, above those that lead to it."""
    nodes, focus = find_focus(root, path)
    found = [Box(node, level, 0.0, 1.0, focus[:level]) for level, node in enumerate(nodes)]
    waiting = deque([found[-1]])
    while waiting:
        box = waiting.popleft()
        left = box.left
        for index, child in enumerate(box.node.ordered()):
            share = box.share * child.value / max(box.node.value, 1)
            if share < MIN_SHARE:
                break  # those that follow are smaller
            if len(found) >= MAX_BOXES:
                return found
            found.append(Box(child, box.level + 1, left, share, (*box.path, index)))
            waiting.append(found[-1])
            left += share
    return found


def flame_graph(
    root: Node, unit: str, link: Callable[[str], str], path: str = "", *, is_diff: bool = False
) -> Html:
    """The SVG. `link` makes the address of the graph with another path in focus.

    is_diff   colours say what has grown (red) or shrunk (blue) against the base
    """
    boxes = boxes_of(root, path)
    height = ROW * (max(box.level for box in boxes) + 1)
    return tag(
        "svg",
        [_drawn(box, root, unit, link, is_diff) for box in boxes],
        xmlns="http://www.w3.org/2000/svg",
        width="100%",
        height=height,
        font_size=12,
        class_="flame",
        role="img",
        aria_label="Flame graph",
    )


def _drawn(box: Box, root: Node, unit: str, link: Callable[[str], str], is_diff: bool) -> Html:
    node = box.node
    colour = _difference_colour(node, root) if is_diff else _colour(node.name)
    text = None
    if box.share > _LETTER_SHARE:  # a tspan keeps its colour whatever the style says of texts
        text = tag("text", tag("tspan", node.name[0], fill="#1c1917"), x=3, y=13)
    return tag(
        "a",
        tag("title", title_of(node, root, unit, is_diff)),
        tag(
            "svg",
            tag("rect", width="100%", height=ROW - 1, fill=colour, rx=2),
            text,
            x=f"{box.left * 100:.3f}%",
            y=box.level * ROW,
            width=f"{box.share * 100:.3f}%",
            height=ROW,
        ),
        href=link(".".join(map(str, box.path))),
    )


def title_of(node: Node, root: Node, unit: str, is_diff: bool) -> str:
    """One line about a node."""
    function, file = node.name
    first, last = node.lines
    lines = f":{first}" if first == last else f":{first}-{last}"
    where = f" ({file}{lines if last else ''})" if file else ""
    share = node.value / root.value if root.value else 0.0
    text = f"{function}{where}: {shown_value(node.value, unit)}, {share:.1%}"
    if is_diff:
        text += f", before {shown_value(node.base, unit)}"
    return text


def _colour(name: tuple[str, str]) -> str:
    """By the file: pybrpc blue, Python's own library green, everything else warm."""
    function, file = name
    shade = zlib.crc32(function.encode("utf-8", "replace")) % 100
    if "/pybrpc/" in file:
        return f"hsl({200 + shade // 5}, 65%, {68 + shade % 12}%)"
    is_library = "/lib/python" in file and "-packages/" not in file
    if is_library or not file or file.startswith("<"):
        return f"hsl({95 + shade // 3}, 35%, {70 + shade % 10}%)"
    return f"hsl({20 + shade // 4}, 85%, {64 + shade % 12}%)"


def _difference_colour(node: Node, root: Node) -> str:
    """Grey without a difference; it is full at a tenth of the whole."""
    change = (node.value - node.base) / max(root.value, root.base, 1)
    if abs(change) < MIN_SHARE:
        return "hsl(40, 8%, 80%)"
    strength = min(abs(change) * 10, 1.0)
    return f"hsl({5 if change > 0 else 215}, {30 + round(55 * strength)}%, 72%)"
