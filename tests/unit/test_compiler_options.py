"""Options of the C compiler, those of gcc for gcc alone, and directives of Cython for one class."""

from __future__ import annotations

import importlib.util
import json
import os
import re
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

MADE_C = """
import sys
sys.argv = ["setup.py", "--name"]
import setup
from Cython.Build import cythonize
setup.keep_class_directives()
(made,) = cythonize("trial.py", language_level=3)
"""
DECLARED = """
cimport cython

@cython.no_gc
@cython.freelist(7)
cdef class First:
    cdef object value

cdef class Second(First):
    cdef object more

cdef class Third:
    cdef object value
"""
DEFINED = """
class First:
    def __init__(self):
        self.value = 1

class Second(First):
    def __init__(self):
        self.more = 2

class Third:
    def __init__(self):
        self.value = 3
"""


def run(program: str, directory: Path, **variables: str) -> str:
    """Run `program`, which imports setup.py. Return what it prints, errors and warnings first."""
    environment = {**os.environ, "PYBRPC_BUILD": "compiled", "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stderr + done.stdout


def options(compiler: str) -> list[list[str]]:
    """Those of a module that each call passes, and of another one."""
    printed = run(SHOW, ROOT, CC=compiler, CFLAGS="-DTRIAL")
    found: list[list[str]] = json.loads(printed.splitlines()[-1])
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


@pytest.mark.skipif(importlib.util.find_spec("Cython") is None, reason="there is no Cython")
def test_a_directive_of_a_class_is_for_that_class_alone(tmp_path: Path) -> None:
    (tmp_path / "trial.pxd").write_text(DECLARED)
    (tmp_path / "trial.py").write_text(DEFINED)
    assert "warning" not in run(MADE_C, tmp_path, CFLAGS="")
    made = (tmp_path / "trial.c").read_text()
    assert re.findall(r"__pyx_freelist_(\w+\[\d+\]);", made) == ["5trial_First[7]"]
    assert "static int __pyx_tp_traverse_5trial_Third(" in made
    assert "static int __pyx_tp_traverse_5trial_First(" not in made
