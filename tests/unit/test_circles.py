"""Modules of pybrpc import each other in no circle but those listed here, and none is too long."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification import imports


def circle(wing: str, names: str) -> frozenset[str]:
    return frozenset(f"pybrpc.{wing}.{name}" for name in names.split())


ALLOWED: dict[frozenset[str], str] = {
    circle(
        "transport",
        "socket.setup socket.socket",
    ): "a Socket calls its SocketUser, which gets the Socket",
}
"""Circles of types that exist, each with its reason. Remove a circle from here once it is gone."""

LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()


def test_no_circle_at_run_time() -> None:
    assert imports.circles(imports.import_graph(with_types=False)) == []


def test_circles_of_types_are_those_listed() -> None:
    found = imports.circles(imports.import_graph(with_types=True))
    unlisted = [sorted(circle) for circle in found if circle not in ALLOWED]
    gone = [sorted(circle) for circle in ALLOWED if circle not in found]
    assert (unlisted, gone) == ([], []), "circles not listed or grown; listed circles that are gone"


def test_files_over_500_lines_are_those_listed() -> None:
    assert imports.long_files().keys() == LONG_FILES


def test_functions_over_60_lines_are_those_listed() -> None:
    assert imports.long_functions().keys() == LONG_FUNCTIONS


FILES = {
    "a/__init__.py": "from a.one import One",
    "a/one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import two",
    "a/two.py": "def f():\n    import a.one",
    "a/three.py": "from a import One\nfrom a.b.four import x",
    "a/b/__init__.py": "",
    "a/b/four.py": "",
    "a/b/four.pxd": "cimport cython\nfrom a.b.five cimport (\n    X,\n    Y,\n)",
    "a/b/five.py": "",
    "a/b/five.pxd": "cimport a.b.four",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return tmp_path


def test_graph_at_run_time_has_imports_of_functions_but_none_for_types(source: Path) -> None:
    graph = imports.import_graph(with_types=False, source=source)
    assert graph == {
        "a": {"a.one"},
        "a.one": set(),
        "a.two": {"a.one"},
        "a.three": {"a", "a.b.four"},
        "a.b": set(),
        "a.b.four": set(),
        "a.b.five": set(),
    }
    assert imports.circles(graph) == []


def test_graph_with_types_has_imports_for_types_and_cimports(source: Path) -> None:
    graph = imports.import_graph(with_types=True, source=source)
    assert graph["a.one"] == {"a.two"}
    assert graph["a.b.four"] == {"a.b.five"}
    assert imports.circles(graph) == [{"a.b.five", "a.b.four"}, {"a.one", "a.two"}]


def test_circle_through_several_modules_is_one_component() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}
    assert imports.circles(graph) == [{"a", "b", "c"}]


def test_order_of_a_package_puts_importers_first(source: Path) -> None:
    graph = imports.import_graph(with_types=False, source=source)
    assert imports.order_of("a", graph) == [["three", "two"], ["b", "one"]]
    assert imports.order_of("a.b", graph) == []


def test_order_of_a_package_joins_children_in_a_circle() -> None:
    graph = {"a": set(), "a.b.x": {"a.c"}, "a.b.y": set(), "a.c": {"a.b.y"}, "a.d": {"a.c"}}
    assert imports.order_of("a", graph) == [["d"], ["b <-> c"]]


def test_long_files_and_functions_are_found_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("def f():\n" + "    pass\n" * 59)
    (tmp_path / "long.py").write_text("def f():\n" + "    pass\n" * 500)
    assert imports.long_files(tmp_path) == {"long.py": 501}
    assert imports.long_functions(tmp_path) == {"long.py:f": 501}


@pytest.mark.proof
def test_command_prints_circles_orders_and_the_number_of_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert imports.main() == 0
    printed = capsys.readouterr().out
    assert "circles at run time: none\n" in printed
    assert "  pybrpc: " in printed
    assert printed.endswith(" Python files outside testing/\n")
