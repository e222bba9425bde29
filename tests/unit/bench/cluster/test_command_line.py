"""python -m bench.cluster, and what it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cluster import __main__ as command
from bench.cluster.scenario import Scenario
from bench.cluster.simulation import PROGRESS_STEPS, Simulation
from bench.cluster.tables import balancing_rows, channel, failure_rows


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    command.main(arguments)
    return capsys.readouterr().out.splitlines()


def test_list_names_all_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--list")
    assert len(lines) == len(set(lines)) == len(balancing_rows() + failure_rows())
    assert "rolling restart of 20 (failed, %)" in lines


def test_table_of_one_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    head, row = printed(
        capsys, "--only", "Newcomer beside 2", "--balancers", "rr", "p2c_ewma", "--runs", "2"
    )
    assert head.split() == ["rr", "p2c_ewma"]
    name, in_turns, by_latency = row.rsplit(maxsplit=2)
    assert name == "a newcomer beside 2 hangs for 1 s (its calls, %)"
    assert float(in_turns) > 20
    assert float(by_latency) < 2


def test_table_of_breakers(capsys: pytest.CaptureFixture[str]) -> None:
    head, row = printed(capsys, "--only", "attempts", "--breakers", "outlier")
    assert head.split() == ["rr,", "outlier", "p2c_ewma,", "outlier"]
    assert row.split()[-2:] == ["1.20", "1.20"]
    _, row = printed(capsys, "--only", "attempts", "--breakers", "outlier", "--no-budget")
    assert row.split()[-2:] == ["4.00", "4.00"]


def test_large_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--large", "--servers", "20", "--clients", "40", "--subset", "5")
    assert lines[0] == "20 servers, 40 clients, each with 5 of the servers"
    assert "with success" in lines[1]
    assert lines[4] == " 0.0 s:   0.00 % failed"
    assert len(lines) == 11


@pytest.mark.parametrize(
    "arguments",
    [["--large", "--servers", "0"], ["--subset", "9", "--servers", "8"], ["--breakers", "none"]],
)
def test_wrong_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert "error:" in capsys.readouterr().err


def test_progress_of_a_run() -> None:
    heard: list[tuple[float, int]] = []
    scenario = Scenario("small", 2, 8, 1, 2000.0, 0.5)
    results = Simulation(scenario, channel("rr")).run(lambda *found: heard.append(found))
    assert [part for part, _ in heard] == [
        (step + 1) / PROGRESS_STEPS for step in range(PROGRESS_STEPS)
    ]
    assert 0 < heard[0][1] < heard[-1][1] <= results.calls
    assert heard[-1][1] > 0.95 * results.calls


@pytest.mark.proof
def test_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pictures = str(tmp_path / "pictures")
    # In a process of its own: matplotlib keeps the files of its fonts open.
    subprocess.run([sys.executable, "-m", "bench.cluster", "--plots", pictures], check=True)
    found = {path.name: path.read_text() for path in (tmp_path / "pictures").iterdir()}
    assert found.keys() == {"cluster-p99.svg", "cluster-errors.svg", "cluster-restart.svg"}
    assert all("p2c_ewma" in text and text.startswith("<?xml") for text in found.values())
