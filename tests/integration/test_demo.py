"""The demo says which form runs, shows the API that it uses, and counts no error."""

from __future__ import annotations

import os
import subprocess
import sys
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
