"""The models: they hold, their mutants are caught, and their page names real code."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

from verification.check import Check, Verdict
from verification.checks import FULL, HOLDS, MUTANTS, QUICK
from verification.spin import MODELS, TOOLS, SpinError, run, verdict_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "verification.md").read_text()
TEXTS = {name: path.read_text() for name, path in MODELS.items()}
TEXT = "".join(TEXTS.values())
MEMORY_MB = 2000

needs_spin = pytest.mark.program(*TOOLS)


def broken_rules(text: str) -> set[str]:
    return set(re.findall(r"\bBREAK_([A-Z_]+[A-Z])", text))


@needs_spin
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.proof
@pytest.mark.parametrize("check", [*QUICK, *HOLDS, *MUTANTS], ids=lambda check: check.name)
def test_model_holds_and_its_mutants_are_caught(check: Check) -> None:
    verdict = run(check, MEMORY_MB)
    assert verdict.is_as_expected(check), verdict


@needs_spin
@pytest.mark.same_everywhere
def test_a_search_that_runs_out_of_memory_is_no_verdict() -> None:
    with pytest.raises(SpinError, match="not every state was seen"):
        run(QUICK[0], memory_mb=240)


@pytest.mark.parametrize("output", ["", "errors: 0\nWarning: Search not completed", "errors: 1"])
def test_output_that_is_not_understood_is_no_verdict(output: str) -> None:
    with pytest.raises(SpinError):
        verdict_of(output)


def test_large_numbers_of_states_are_read() -> None:
    text = "errors: 0\n 1.2345678e+08 states, stored\n1.5e+03\ttotal actual memory usage\n"
    verdict = verdict_of(f"{text}pan: elapsed time 7.25 seconds\n")
    assert verdict == Verdict(None, 123_456_780, 7.25, 1500.0)


def test_a_violation_is_expected_only_where_it_is_said_so() -> None:
    found, nothing = Verdict("assertion violated (a)", 1, 0.0, 1.0), Verdict(None, 1, 0.0, 1.0)
    sound, broken = Check("sound", 1, 1), Check("broken", 1, 1, caught_by="(a)")
    other = Check("other", 1, 1, caught_by="(b)")
    assert nothing.is_as_expected(sound)
    assert found.is_as_expected(broken)
    assert not found.is_as_expected(sound)
    assert not found.is_as_expected(other)
    assert not nothing.is_as_expected(broken)


def test_every_rule_that_the_model_can_break_is_checked_and_on_the_page() -> None:
    checked = {mutant.name for mutant in MUTANTS}
    assert broken_rules(TEXT) == checked
    table = PAGE.partition("### What must be caught")[2].partition("\n### ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == checked


def test_every_option_is_one_of_the_model() -> None:
    for check in (*QUICK, *HOLDS, *FULL, *MUTANTS):
        known = set(re.findall(r"^#if(?:n?def) (\w+)", TEXTS[check.model], re.MULTILINE))
        assert {option.partition("=")[0] for option in check.options} <= known


@pytest.mark.python_only
def test_page_maps_steps_of_the_model_to_code_that_exists() -> None:
    rows = re.findall(
        r"^\| `(\w+)`[^|]*\| ((?:`(?:transport|client)\.[\w.]+`(?:, )?)+) \|", PAGE, re.MULTILINE
    )
    assert len(rows) > 15
    for step, functions in rows:
        assert re.search(rf"\b{step}\b", TEXT), f"{step} is not in the model"
        for path in re.findall(r"`((?:transport|client)\.[\w.]+)`", functions):
            assert callable(pkgutil.resolve_name(f"pybrpc.{path}")), path
