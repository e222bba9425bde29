"""Flame graphs: boxes within their parents, bounds, and names that can't become markup."""

from __future__ import annotations

import re
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.builtin.profiling.call_tree import call_tree
from pybrpc.builtin.profiling.flame_graph import MAX_BOXES, boxes_of, find_focus, flame_graph
from tests.fakes.profiles import HOSTILE, profile_of

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.text(st.characters(exclude_characters=";"), max_size=8)
STACKS = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=6).map(";".join), st.integers(-5, 1000), max_size=20
)


def link(path: str) -> str:
    return f"/hotspots/cpu?id=1&at={quote(path)}"


@given(STACKS)
def test_boxes_lie_within_their_parents_and_beside_each_other(stacks: dict[str, int]) -> None:
    boxes = boxes_of(call_tree(profile_of(stacks)))
    by_path = {box.path: box for box in boxes}
    assert len(by_path) == len(boxes)
    ends: dict[tuple[int, ...], float] = {}
    for box in boxes[1:]:
        parent = by_path[box.path[:-1]]
        assert box.level == parent.level + 1
        assert box.left >= ends.get(parent.path, parent.left) - 1e-9
        ends[parent.path] = box.left + box.share
        assert ends[parent.path] <= parent.left + parent.share + 1e-9


@given(STACKS)
def test_a_graph_of_any_names_is_well_formed(stacks: dict[str, int]) -> None:
    graph = flame_graph(call_tree(profile_of(stacks)), "nanoseconds", link)
    ElementTree.fromstring(graph.encode())


def test_hostile_names_are_text() -> None:
    profile = profile_of({f"{HOSTILE};b": 5}, thread=HOSTILE, task=HOSTILE)
    graph = flame_graph(call_tree(profile, by_thread=True), "bytes", link)
    elements = {element.tag for element in ElementTree.fromstring(graph.encode()).iter()}
    assert elements == {SVG + name for name in ("svg", "a", "title", "rect", "text", "tspan")}
    assert "<script" not in graph
    assert not re.search(r"\sstyle=|\son\w+=", graph)


def test_each_box_is_a_link_with_a_title() -> None:
    graph = flame_graph(call_tree(profile_of({"main;work": 2_000_000})), "nanoseconds", link)
    links = ElementTree.fromstring(graph.encode()).findall(f"{SVG}a")
    assert [each.get("href") for each in links] == [link(""), link("0"), link("0.0")]
    titles = [each.findtext(f"{SVG}title") for each in links]
    assert titles == [
        "all (cpu): 2.00 ms, 100.0%",
        "main (/app/x.py:7): 2.00 ms, 100.0%",
        "work (/app/x.py:7): 2.00 ms, 100.0%",
    ]


def test_the_box_in_focus_has_the_whole_width() -> None:
    root = call_tree(profile_of({"main;a;x": 30, "main;b;y": 10}))
    shares = {box.node.name[0]: box.share for box in boxes_of(root, "0.1")}
    assert shares == {"all (cpu)": 1.0, "main": 1.0, "b": 1.0, "y": 1.0}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ()),
        ("0", (0,)),
        ("0.0.0.0", (0, 0)),
        ("7", ()),
        ("-1", ()),
        ("0.x", (0,)),
        ("²", ()),
        ("9" * 5000, ()),
        (".".join("0" * 10_000), (0, 0)),
        (HOSTILE, ()),
    ],
)
def test_a_path_leads_as_far_as_there_are_nodes(path: str, found: tuple[int, ...]) -> None:
    assert find_focus(call_tree(profile_of({"main;work": 1})), path)[1] == found


def test_boxes_are_limited() -> None:
    wide = {f"main;f{i};{';'.join('abcdefgh')}": 1 for i in range(900)}
    assert len(boxes_of(call_tree(profile_of(wide)))) == MAX_BOXES


def test_narrow_boxes_are_left_out() -> None:
    root = call_tree(profile_of({"main;large": 100_000, "main;small": 1}))
    assert "small" not in {box.node.name[0] for box in boxes_of(root)}


def test_a_comparison_has_colours_for_growth() -> None:
    base = profile_of({"main;slower": 10, "main;faster": 90})
    root = call_tree(profile_of({"main;slower": 90, "main;faster": 10}), base)
    graph = flame_graph(root, "nanoseconds", link, is_diff=True)
    colours = dict(re.findall(r"<title>(\w+) .*?<rect[^>]* fill=\"hsl\((\d+)", graph))
    assert colours == {"all": "40", "main": "40", "slower": "5", "faster": "215"}
    assert "before 10 ns" in graph


def test_an_empty_profile_has_one_box() -> None:
    assert len(boxes_of(call_tree(profile_of({})))) == 1
