"""The list of survivors: rows are read as they are written, and name what is there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from verification.mutation.mutmut_run import ROOT, Survivor, survivor_of
from verification.mutation.page import (
    PAGE,
    explained_everywhere,
    explained_in,
    is_explained_by,
    row_of,
)
from verification.mutation.target import TARGETS, Target

DIFFERENCE = """\
# pybrpc.transport.writing.write_queue.x\u01c1WriteQueue\u01c1take__mutmut_3: survived
--- src/pybrpc/transport/writing/write_queue.py
+++ src/pybrpc/transport/writing/write_queue.py
@@ -5,7 +5,7 @@
     a = 1
-    if node is UNCONNECTED or node is None:
-        return None
+    if node is UNCONNECTED and node is None:
+        return None
     b = 2
"""
SURVIVOR = Survivor(
    "WriteQueue.take",
    "if node is UNCONNECTED or node is None: return None",
    "if node is UNCONNECTED and node is None: return None",
)
every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


def test_survivor_is_known_by_its_function_and_its_lines() -> None:
    name = "pybrpc.transport.writing.write_queue.x\u01c1WriteQueue\u01c1take__mutmut_3"
    assert survivor_of(name, DIFFERENCE) == SURVIVOR
    assert survivor_of("pybrpc.a.b.x__private__mutmut_12", DIFFERENCE).function == "_private"


@pytest.mark.parametrize(
    "survivor", [SURVIVOR, Survivor("f", "a: int | None = `b`", "a: int | None = ``c``")]
)
def test_row_is_read_as_it_was_written(survivor: Survivor) -> None:
    text = f"# Page\n\n## first\n\n{row_of(survivor, 'no matter')}\n\n## second\n"
    assert explained_in(text, "first") == {survivor: "no matter"}
    assert explained_in(text, "second") == explained_in(text, "third") == {}


def test_change_that_makes_no_difference_anywhere_explains_its_survivors_only() -> None:
    fragments = explained_everywhere(PAGE.read_text())
    assert ('"utf-8"', '"UTF-8"') in fragments
    assert all(len(reason) > 10 for reason in fragments.values())
    was = 'a.encode("utf-8", "x") or b.encode("utf-8", "x")'
    assert is_explained_by(fragments, Survivor("f", was, was.replace("utf-8", "UTF-8", 1)))
    assert is_explained_by(fragments, Survivor("f", was, "UTF-8".join(was.rsplit("utf-8", 1))))
    assert not is_explained_by(fragments, Survivor("f", was, was.replace("utf-8", "UTF-8")))
    assert not is_explained_by(fragments, Survivor("f", was, was.replace('"utf-8"', "None", 1)))
    assert not is_explained_by(fragments, Survivor("f", was, was))
    assert explained_everywhere("# Page\n\n## first\n") == {}


@every_target
def test_tests_of_a_target_are_there(target: Target) -> None:
    for path in (target.source, *target.tests):
        assert (ROOT / path).exists(), path
    for option in target.options:
        if option.startswith("--deselect="):
            path, _, name = option.removeprefix("--deselect=").partition("::")
            assert f"def {name}(" in (ROOT / path).read_text(), option


@every_target
def test_page_names_functions_and_lines_that_are_there(target: Target) -> None:
    source = (ROOT / target.source).read_text()
    functions = set(names_in(ast.parse(source)))
    lines = " ".join(source.split())
    for survivor, reason in explained_in(PAGE.read_text(), target.name).items():
        assert survivor.function in functions
        assert survivor.was in lines, survivor
        assert len(reason) > 10, survivor


def names_in(tree: ast.AST, before: str = "") -> list[str]:
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(before + node.name)
        elif isinstance(node, ast.ClassDef):
            found += names_in(node, f"{node.name}.")
    return found


def test_page_has_a_part_for_each_target() -> None:
    text = PAGE.read_text()
    assert all(f"\n## {target.name}\n" in text for target in TARGETS)
    assert Path(PAGE).name in (ROOT / "docs" / "verification.md").read_text()
