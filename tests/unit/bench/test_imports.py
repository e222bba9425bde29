"""bench.imports, with real processes; their times are not judged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.imports import GRPC, PYBRPC, ROWS, Cost, cost_of, main, measure, ratio_of
from bench.measures.imports import MEASURE, PROGRAMS
from bench.site import Site
from bench.work import Imports, Window, as_text, parse_work


def test_cost_counts_the_modules_of_the_process_and_its_processor_time(tmp_path: Path) -> None:
    nothing, some = cost_of("pass", str(tmp_path)), cost_of("import fractions", str(tmp_path))
    assert some.modules > nothing.modules > 10
    assert nothing.cpu_s > 0
    assert list(tmp_path.rglob("fractions*.pyc"))


def test_program_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        cost_of("import no_such_module", str(tmp_path))


def test_each_row_is_measured_in_each_round() -> None:
    costs = measure({"a": "pass", "b": "import fractions"}, 2)
    assert {name: len(measured) for name, measured in costs.items()} == {"a": 2, "b": 2}


def test_ratio_is_that_of_neighbours_in_a_round() -> None:
    costs = {
        PYBRPC: [Cost(1.0, 1), Cost(3.0, 1), Cost(8.0, 1)],
        GRPC: [Cost(2.0, 1), Cost(6.0, 1), Cost(2.0, 1)],
    }
    assert ratio_of(costs, PYBRPC) == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURE.peers)
def test_measure_of_the_bench_runs_each_program(name: str) -> None:
    if reason := MEASURE.missing(name):
        pytest.skip(reason)
    for part in PROGRAMS[name]:
        work = parse_work(as_text(Imports(part)))
        with Site() as site:
            figures = MEASURE.run(site, name, work, Window(0.0, 0.0))
        assert figures["modules"] > 30
        assert set(MEASURE.tables) <= set(figures)


@pytest.mark.slow
def test_command_prints_each_row_and_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("grpc")
    assert main(["--rounds", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    for name in ROWS:
        assert any(line.startswith(f"{name} ") for line in printed), name
    assert "expected at most 0.7" in printed[-1]
