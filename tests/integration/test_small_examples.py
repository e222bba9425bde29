"""The small programs of examples/, and the page that lists all of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from typing import Any

import pytest

from tests.fakes.threads import WAIT_S
from tests.peers.pages import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.same_everywhere]

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}
COOKBOOK = (ROOT / "docs/cookbook.md").read_text()
TESTS = ("test_small_examples", "test_stream_examples", "test_proxy_example", "test_rtmp_example")


def printed(name: str) -> list[str]:
    """The lines of a program that ends by itself."""
    command = [sys.executable, f"examples/{name}.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_hello() -> None:
    names = ["thread", "future", "callback", "task 1", "task 2"]
    assert printed("hello") == [f"Hello, {name}!" for name in names]


def test_failover() -> None:
    before, stops, after, *states = printed("failover")
    assert before == "A: 100, B: 100, C: 100"
    assert stops == "B stops"
    assert re.fullmatch(r"A: \d+, C: \d+", after)
    assert sum(map(int, re.findall(r"\d+", after))) == 300
    assert states == ["A is up", "B is not up", "C is up"]


def test_hedging() -> None:
    without, hedged = printed("hedging")
    assert without == "slow without backup requests: 10 of 20"
    assert re.fullmatch(r"slow with backup requests: \d of 20", hedged)


def fetch(url: str, **options: Any) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=WAIT_S) as answer:
        body: bytes = answer.read()
        return body


def test_web() -> None:
    command = [sys.executable, "examples/web.py", "127.0.0.1:0"]
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        url = program.stdout.readline().split()[-1]
        json = {"Content-Type": "application/json"}
        said = fetch(f"{url}Texts/Say", data=b'{"value": "you"}', headers=json)
        assert said == b'{"value":"Hello, you!"}'
        assert b"Served beside the calls" in fetch(f"{url}app/")
        assert b"examples.Texts" in fetch(f"{url}status?console=1")
        program.send_signal(signal.SIGINT)
        assert program.wait(WAIT_S) == 0


def test_cookbook_has_every_program_and_a_test_runs_it() -> None:
    programs = {path.name for path in (ROOT / "examples").glob("*.py")} - {"texts.py"}
    assert set(re.findall(r"^\| `(\w+\.py)` \|", COOKBOOK, re.MULTILINE)) == programs
    assert set(re.findall(r"python examples/(\w+\.py)", COOKBOOK)) == programs
    tests = "".join((ROOT / f"tests/integration/{name}.py").read_text() for name in TESTS)
    for program in programs:
        stem = program.removesuffix(".py")
        assert program in tests or f'("{stem}"' in tests, f"no test runs {program}"
