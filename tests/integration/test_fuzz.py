"""The fuzz targets: what they begin with, what they have found, and some inputs more."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuzz.fuzz_target import FuzzTarget
from fuzz.kept import FOUND, first_inputs, found_inputs
from fuzz.options import parse_options
from fuzz.targets import NAMES, target_named
from fuzz.unguided import Finding, HangError, fuzz, mutated, smallest, with_alarm

ROOT = Path(__file__).parents[2]
FOUND_INPUTS = [(name, file) for name in NAMES for file in found_inputs(name)]


@pytest.mark.parametrize(("name", "file"), FOUND_INPUTS)
def test_inputs_that_once_failed_pass(name: str, file: str) -> None:
    target_named(name).check(found_inputs(name)[file])


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in FOUND.iterdir()} <= set(NAMES)
    assert FOUND_INPUTS


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("name", NAMES)
def test_a_second_of_inputs_finds_nothing(name: str) -> None:
    target = target_named(name)
    inputs = first_inputs(name, target)
    count, finding = fuzz(target, inputs, seconds=1, seed=7)
    assert count >= len(inputs) > 3
    if finding is not None:
        raise AssertionError(f"for {smallest(target, finding)!r}") from finding.error


def fails_on_two_bytes(data: bytes) -> None:
    if b"\x80" in data and b"\xff" in data:
        raise ZeroDivisionError


def test_a_defect_is_found_and_its_input_made_small() -> None:
    target = FuzzTarget(fails_on_two_bytes, lambda: [b"sound" * 10], dictionary=(b"\x80",))
    _, finding = fuzz(target, [b"sound" * 10], seconds=30, seed=1)
    assert finding is not None
    assert isinstance(finding.error, ZeroDivisionError)
    assert sorted(smallest(target, finding)) == [0x80, 0xFF]


def test_an_input_that_takes_too_long_is_a_finding() -> None:
    before = signal.getsignal(signal.SIGALRM)
    target = FuzzTarget(lambda data: time.sleep(60) if data else None, list)
    try:
        _, finding = fuzz(with_alarm(target, 0.05), [b"", b"x"], seconds=1, seed=1)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert finding is not None
    assert finding.data == b"x"
    assert isinstance(finding.error, HangError)


def test_smallest_keeps_the_kind_of_error() -> None:
    def check(data: bytes) -> None:
        if len(data) > 2:
            raise KeyError
        raise ValueError

    finding = Finding(bytes(100), KeyError())
    assert smallest(FuzzTarget(check, list), finding) == bytes(3)


def test_changed_inputs_are_no_longer_than_the_target_wants() -> None:
    target = FuzzTarget(lambda data: None, list, dictionary=(bytes(50),), max_bytes=20)
    rng = random.Random(3)
    sizes = {len(mutated(rng, [bytes(10), bytes(20)], target)) for _ in range(300)}
    assert max(sizes) == 20
    assert len(sizes) > 5


def run_fuzz(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    folders = [str(path)] if path else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, "src", "."])}
    command = [sys.executable, "-m", "fuzz", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )


@pytest.mark.proof
@pytest.mark.slow
def test_fuzz_command_reports_a_run(tmp_path: Path) -> None:
    done = run_fuzz(
        "addresses", "messages", "--seconds", "0.5", "--no-guided", "--folder", str(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ok ") == 2
    assert done.stdout.endswith("PASSED\n")


@pytest.mark.slow
def test_fuzz_command_tries_one_input(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"\0127.0.0.1:80")
    done = run_fuzz("addresses", "--input", str(file))
    assert (done.returncode, done.stdout) == (0, "nothing is wrong with it\n"), done.stderr


@pytest.mark.slow
def test_fuzz_command_fails_and_keeps_the_input_that_it_found(tmp_path: Path) -> None:
    """With a target whose reference is wrong."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'fuzz' in ' '.join(sys.orig_argv):\n"
        "    from fuzz.references import crc32c\n"
        "    crc32c.masked = lambda data: b'none'\n"
    )
    folder = tmp_path / "out"
    options = ["--seconds", "1", "--no-guided", "--folder", str(folder)]
    done = run_fuzz("bodies", *options, path=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "found something" in done.stdout
    assert done.stdout.endswith("FAILED\n")
    assert (folder / "bodies" / "finding-smallest").read_bytes() == b""


@pytest.mark.parametrize(
    "arguments", [["nobody"], ["--seconds", "0"], ["--jobs", "0"], ["--input", "x"]]
)
def test_options_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(arguments)
