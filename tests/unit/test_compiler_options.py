"""The options that setup.py gives to the C compiler: another one than gcc gets none of gcc's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc"),
]

ROOT = Path(__file__).parents[2]
SHOW = """
import json, sys
sys.argv = ["setup.py", "--name"]
import setup
names = "pybrpc.client.calls.call", "pybrpc.streams.core"
print(json.dumps([setup.options_of(name) for name in names]))
"""


def options(compiler: str) -> list[list[str]]:
    """Those of a module that each call passes, and of another one."""
    environment = {**os.environ, "CC": compiler, "PYBRPC_BUILD": "compiled", "CFLAGS": "-DTRIAL"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_gcc_skips_passes_that_save_little() -> None:
    hot, cheap = options("gcc")
    assert (hot[0], cheap[0]) == ("-O2", "-O1")
    assert "-fno-tree-vrp" in hot
    assert "-fno-tree-pta" in cheap
    assert (hot[-1], cheap[-1]) == ("-DTRIAL", "-DTRIAL")


def test_another_compiler_gets_no_option_of_gcc_alone() -> None:
    hot, cheap = options("gcc -D__clang__")
    assert hot == ["-O2", "-g0", "-Wno-unused-function", "-DTRIAL"]
    assert cheap == ["-O1", "-g0", "-Wno-unused-function", "-DTRIAL"]
