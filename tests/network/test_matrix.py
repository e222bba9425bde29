"""The matrix: a cell of it between two processes, and what it must notice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from soak.network import report
from soak.network.__main__ import main
from soak.network.cell import MUST_BE_0, Cell, CellResult
from soak.network.half_open import PROMISED_S, Found
from soak.network.namespace import why_no_namespaces

CELL = Cell(pybrpc.__impl__, "flapping", "TLS", "asyncio", "stream", 1)
TOTALS = {
    "started": 3, "answered": 2, "failed": 1, "told_twice": 0, "wrong_answers": 0, "unexpected": 0,
    "failures": {"ETIMEDOUT waiting": 1}, "notes": (),
}  # fmt: skip
CLIENT = {"totals": TOTALS, "attempts": {"a": 1, "b": 2, "c": 1}, "answered": ["a", "b"]}
SERVER = {"executed": {"a": 1, "b": 2}, "left": 0, "seconds": 0.1}


def result(server: Any = SERVER, **totals: int) -> CellResult:
    client = {**CLIENT, "totals": {**TOTALS, **totals}}
    return CellResult.of(CELL, client, server, {"packets": 9, "cut": 2})


def test_calls_that_completed_exactly_once_are_reported_as_sound() -> None:
    assert set(result().must_be_0.values()) == {0}
    assert report.broken([result()]) == []


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (result(started=4), "lost"),
        (result(told_twice=1), "told_twice"),
        (result(wrong_answers=1), "wrong"),
        (result(unexpected=1), "unexpected"),
        (result({**SERVER, "executed": {"a": 2, "b": 2}}), "ran_unasked"),
        (result({**SERVER, "executed": {"a": 1, "b": 1, "nobody's": 1}}), "ran_unasked"),
        (result({**SERVER, "executed": {"a": 1}}), "not_run"),
        (result({**SERVER, "left": 1}), "half_open"),
    ],
)
def test_each_kind_of_wrong_outcome_is_reported(found: CellResult, name: str) -> None:
    assert found.must_be_0 == {**dict.fromkeys(MUST_BE_0, 0), name: 1}
    (text,) = report.broken([found])
    assert str(CELL) in text


def test_table_has_a_row_for_each_fault(capsys: pytest.CaptureFixture[str]) -> None:
    other = dataclasses.replace(result(), cell=dataclasses.replace(CELL, scenario="delay"))
    report.show([result(), other, other], [])
    output = capsys.readouterr().out
    assert "3 cells" in output
    assert "flapping" in output
    assert "delay" in output


def test_a_peer_that_is_found_too_late() -> None:
    in_time = Found("client", "idle", "TLS", PROMISED_S, "ETIMEDOUT")
    late = dataclasses.replace(in_time, seconds=PROMISED_S + 1)
    assert report.late([in_time, late]) == ["client, idle over TLS: found after 61.0 s"]


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.program("ip")
@pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())
@pytest.mark.parametrize(
    ("scenario", "security", "form", "load"),
    [
        ("all of these", "plain", "threads", "small"),
        ("flapping", "TLS", "asyncio", "stream"),
        ("flapping", "plain", "threads", "messages"),
        ("cut, back too late", "TLS", "asyncio", "messages"),
    ],
)
def test_a_cell(scenario: str, security: str, form: str, load: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    chosen = ("--scenario", scenario, "--security", security, "--form", form, "--load", load)
    assert main([*chosen, "--report", str(path)]) == 0
    (cell,) = json.loads(path.read_text())["cells"]
    assert cell["started"] == cell["answered"] + cell["failed"]
    assert cell["answered"] > 0
    assert sum(cell["faults"].get(name, 0) for name in report.PACKET_FAULTS) > 0
