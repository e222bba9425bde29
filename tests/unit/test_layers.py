"""The layers of the package, and that importing it does nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

IMPORT_EVERYTHING = """
import os, pkgutil, sys, threading
before = set(os.listdir("/dev/fd"))
import pybrpc
for module in pkgutil.walk_packages(pybrpc.__path__, "pybrpc."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert set(os.listdir("/dev/fd")) == before, before
print(len([name for name in sys.modules if name.startswith("pybrpc")]))
"""


# In a process of its own, because it turns the loggers of the one that it runs in off.
LINT_IMPORTS = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True))
"""


def test_no_layer_imports_one_above_it() -> None:
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", LINT_IMPORTS]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_import_starts_no_thread_and_opens_no_descriptor() -> None:
    command = [sys.executable, "-c", IMPORT_EVERYTHING]
    result = subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 1
