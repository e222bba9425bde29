"""How much of a module certain tests run, measured on a small one."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

coverage = pytest.importorskip("coverage")
measure = pytest.importorskip("verification.coverage.measure")

MODULE = """
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import decimal


class Named(Protocol):
    def name(self) -> str: ...


def choose(flag):
    if flag:
        return "yes"
    return "no"


def abstract():
    raise NotImplementedError
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "module.py"
    path.write_text(MODULE)
    monkeypatch.setattr(measure, "PACKAGE", tmp_path)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    monkeypatch.setattr(measure, "name_of", lambda path: path.name)
    return path


def data_of(module: Path, *flags: bool) -> Path:
    """Coverage data of a run with one test for each of these flags: "test_True.py"."""
    data_file = module.with_name("data.1")
    measured = coverage.Coverage(
        data_file=str(data_file), branch=True, source=[str(module.parent)], config_file=False
    )
    measured.start()
    choose = runpy.run_path(str(module))["choose"]
    for flag in flags:
        measured.switch_context(f"test_{flag}.py")
        choose(flag)
    measured.stop()
    measured.save()
    return data_file


def test_each_test_counts_for_what_it_has_run(module: Path) -> None:
    measurements = measure.Measurements([data_of(module, True, False)])
    tests = {flag: module.with_name(f"test_{flag}.py") for flag in (True, False)}
    both = measurements.of(module, tests.values())
    one = measurements.of(module, [tests[True]])
    none = measurements.of(module, [])
    assert (both.percent, both.missing) == (100.0, "")
    assert (one.total - one.ran, none.total - none.ran) == (2, 5)
    assert one.missing == "15; not all of 13"
    assert both.total == one.total == none.total
    assert one.tests == (tests[True],)


def test_module_without_statements_counts_as_covered(module: Path) -> None:
    module.write_text('"""Nothing."""\n')
    measured = measure.Measurements([data_of_nothing(module)]).of(module, [])
    assert measured.percent == 100.0


def data_of_nothing(module: Path) -> Path:
    data_file = module.with_name("data.1")
    measured = coverage.Coverage(
        data_file=str(data_file), branch=True, source=[str(module.parent)], config_file=False
    )
    with measured.collect():
        runpy.run_path(str(module))
    measured.save()
    return data_file
