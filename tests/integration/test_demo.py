"""The demo says which form runs, shows the API that it uses, and counts no error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import pybrpc

ROOT = Path(__file__).parents[2]
pytest.importorskip("rich")


@pytest.mark.slow
def test_demo_runs() -> None:
    command = [sys.executable, "-m", "demo", "--seconds", "0.2"]
    environment = {**os.environ, "PYBRPC_IMPL": pybrpc.__impl__, "COLUMNS": "120"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    form = {"python": "plain Python", "compiled": "compiled"}[pybrpc.__impl__]
    assert done.stdout.startswith(f"pybrpc {pybrpc.__version__}, {form}")
    for line in ('server.start("127.0.0.1:0")', "stub = pybrpc.Stub(SERVICE, channel)", "'hello'"):
        assert line in done.stdout
    assert "The server accepted 1 connection" in done.stdout
    assert "http://" not in done.stdout


@pytest.mark.slow
def test_pages_of_the_demo_stay_for_a_while() -> None:
    command = [sys.executable, "-u", "-m", "demo", "--seconds", "0.1", "--open", "60"]
    environment = {**os.environ, "PYBRPC_IMPL": pybrpc.__impl__, "COLUMNS": "120"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        address = ""
        for line in demo.stdout:
            if line.startswith("and: curl "):
                address = line.split()[-1]
                break
        with urllib.request.urlopen(address, timeout=20) as response:
            assert b"EchoService" in response.read()
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)


@pytest.mark.parametrize("arguments", [("--seconds", "0"), ("--seconds", "nan"), ("--open", "-1")])
def test_demo_refuses_times_that_make_no_sense(arguments: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "demo", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"error: {arguments[0]} must be" in done.stderr
