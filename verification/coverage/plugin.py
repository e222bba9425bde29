"""A plugin of pytest that notes which lines and branches of pybrpc ran in which test file.

Every test file is a context of coverage.py. What importing runs is in the context without a name:
the whole package is imported before any test, so that no test file gets the `def`s of a module for
having been the first to import it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest

from verification.coverage.measure import FOLDER
from verification.coverage.own_tests import PACKAGE, ROOT

measured = coverage.Coverage(
    data_file=str(FOLDER / "data"),
    data_suffix=True,
    branch=True,
    source=[str(PACKAGE)],
    config_file=False,
)
measured.start()


def pytest_configure() -> None:
    import pybrpc

    for module in pkgutil.walk_packages(pybrpc.__path__, "pybrpc."):
        importlib.import_module(module.name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Importing a test file may run code too."""
    if isinstance(collector, pytest.Module):
        _switch_to(collector.path)
    report = yield
    measured.switch_context("")
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    _switch_to(item.path)
    return (yield)


def pytest_unconfigure() -> None:
    measured.stop()
    measured.save()


def _switch_to(path: Path) -> None:
    measured.switch_context(str(path.relative_to(ROOT)))
