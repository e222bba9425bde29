"""Which test files are a module's own.

Those of `transport/writing/backlog.py` are `test_backlog.py`, in tests/unit in the folder of the
module or in one above it and in tests/property, and `test_backlog_*.py` in its folder unless there
is a module of that name. Tests that are named otherwise are in GROUPS.
"""

from __future__ import annotations

from pathlib import Path

from verification.coverage.groups import GROUPS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pybrpc"
TESTS = ROOT / "tests"


def all_modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(module: Path) -> str:
    """ "transport/socket/socket.py" """
    return str(module.relative_to(PACKAGE))


def own_tests_of(module: Path) -> list[Path]:
    """May be none, for a module in which there is nothing to run."""
    name = f"test_{module.stem}.py"
    mirror = TESTS / "unit" / module.relative_to(PACKAGE).parent
    places = [mirror, *mirror.parents[: len(mirror.relative_to(TESTS).parts) - 1]]
    nearest = next((place / name for place in places if (place / name).exists()), None)
    found = [nearest, *(TESTS / "property").glob(name)]
    for path in mirror.glob(f"test_{module.stem}_*.py"):
        if not module.with_name(path.name.removeprefix("test_")).exists():
            found.append(path)
    for group in GROUPS:
        if name_of(module) in group.modules:
            found += [path for pattern in group.tests for path in _matching(pattern)]
    return sorted({path for path in found if path is not None})


def _matching(pattern: str) -> list[Path]:
    found = sorted(TESTS.glob(pattern))
    if not found:
        raise LookupError(f"there is no tests/{pattern}")
    return found
