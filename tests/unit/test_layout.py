"""The layout of tests/: nothing is imported from a test module or a conftest.

What two test modules share is in tests/fakes, tests/schedules or tests/peers, or in a module of
their own folder; fixtures are in conftest.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def modules_imported_by(source: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def belongs_to_pytest(module: str) -> bool:
    parts = module.split(".")
    return parts[0] == "tests" and any(
        part == "conftest" or (part.startswith("test_") and index > 0)
        for index, part in enumerate(parts)
        if _is_module(parts[: index + 1])
    )


def _is_module(parts: list[str]) -> bool:
    return TESTS.parent.joinpath(*parts).with_suffix(".py").exists()


def test_no_module_imports_from_a_test_module_or_conftest() -> None:
    wrong = [
        f"{path.relative_to(TESTS)} imports {module}"
        for path in sorted(TESTS.rglob("*.py"))
        for module in modules_imported_by(path.read_text())
        if belongs_to_pytest(module)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "source",
    [
        "import tests.conftest",
        "from tests.unit.test_layout import TESTS",
        "def f():\n    from tests.unit import test_layout",
    ],
)
def test_import_from_a_test_module_is_found(source: str) -> None:
    assert any(belongs_to_pytest(module) for module in modules_imported_by(source))


def test_import_of_a_fake_is_allowed() -> None:
    source = "from tests.fakes.sockets import Wire"
    assert not any(belongs_to_pytest(module) for module in modules_imported_by(source))


def test_no_test_module_reexports_a_fixture() -> None:
    wrong = [
        str(path.relative_to(TESTS))
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert wrong == []
