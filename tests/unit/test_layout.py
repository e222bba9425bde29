"""The layout of tests/: nothing is imported from a test module or a conftest.

What two test modules share is in tests/fakes, tests/schedules or tests/peers, or in a module of
their own folder; fixtures are in conftest.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


IMPORT = re.compile(
    r"^[ \t]*(?:from (tests[\w.]*) import (\([^)]*\)|.*)|import (tests[\w.]*))", re.MULTILINE
)
ALL = re.compile("^__all__ *=", re.MULTILINE)


def modules_imported_by(source: str) -> list[str]:
    """Modules of tests; what is imported from one may be a module itself."""
    found: list[str] = []
    for package, names, module in IMPORT.findall(source):
        found += [module or package, *(f"{package}.{name}" for name in re.findall(r"\w+", names))]
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
    modules = sorted(TESTS.rglob("test_*.py"))
    assert [path.name for path in modules if ALL.search(path.read_text())] == []


SOURCE = TESTS.parent / "src" / "pybrpc"
LOGS = re.compile(
    r"\bgetLogger\b|\blogger\.|\blogging\.(?:debug|info|warning|error|exception|log)\("
)


def logs_unguarded(source: str) -> bool:
    return LOGS.search(source) is not None


def test_only_the_guard_logs() -> None:
    """Filters and handlers of `logging` belong to the user, and may raise. The access log has a
    thread of its own for them."""
    wrong = [
        str(path.relative_to(SOURCE))
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] != "testing" and logs_unguarded(path.read_text())
    ]
    access_log = [f"server/access_log/access_{name}.py" for name in ("log", "writer")]
    assert wrong == ["base/guard.py", *access_log]
