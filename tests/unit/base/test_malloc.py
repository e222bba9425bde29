"""Thresholds of malloc, by the page faults of processes that use the same memory again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import Any

import pytest

from pybrpc.base import malloc

glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="glibc")

ROUNDS, BLOCKS, BLOCK_BYTES = 40, 3, 8 << 20
USE_MEMORY_AGAIN = f"""
import resource
def use():
    blocks = [b"x" * {BLOCK_BYTES} for _ in range({BLOCKS})]
    del blocks
use(), use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
KEEP_IN_WORKER = """
from pybrpc.server.workers.messages import WorkerSpec
from pybrpc.server.workers.worker_main import tune_process
tune_process(WorkerSpec(0, "app:make", 0, 0, 1.0, keeps_memory={}))
"""


def page_faults(first: str, **environment: str) -> int:
    """Count those of a process that runs `first`, and then uses the same memory over and over."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", first + USE_MEMORY_AGAIN],
        env={**usual, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout)


@glibc
@pytest.mark.parametrize(
    ("keep", "leave"),
    [
        ("import pybrpc.tune; assert pybrpc.tune.keep_memory() is True", "import pybrpc.tune"),
        (KEEP_IN_WORKER.format(True), KEEP_IN_WORKER.format(False)),
    ],
    ids=["tune", "worker"],
)
def test_kept_memory_causes_no_page_faults(keep: str, leave: str) -> None:
    assert page_faults(keep) * 10 < page_faults(leave)


@glibc
def test_workers_leave_malloc_as_the_environment_has_it() -> None:
    kept, left = KEEP_IN_WORKER.format(True), {"MALLOC_TRIM_THRESHOLD_": "131072"}
    assert page_faults(kept) * 10 < page_faults(kept, **left)


@pytest.mark.parametrize(
    ("name", "value", "is_set"),
    [
        ("MALLOC_ARENA_MAX", "2", True),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1", True),
        ("GLIBC_TUNABLES", "glibc.rtld.nns=2", False),
        ("PYTHONMALLOC", "malloc", False),
    ],
)
def test_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, is_set: bool
) -> None:
    for each in [each for each in os.environ if each.startswith("MALLOC_")]:
        monkeypatch.delenv(each)
    monkeypatch.setenv(name, value)
    assert malloc.is_malloc_set() is is_set


class OtherLibc:
    """Has a mallopt that does nothing, and is not glibc."""

    mallopt: Any = None


@pytest.mark.parametrize("library", [OtherLibc(), OSError(), TypeError()])
def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    def load(name: object) -> object:
        if isinstance(library, Exception):
            raise library
        return library

    malloc._mallopt.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", load)
    try:
        assert malloc.keep_memory() is False
    finally:
        malloc._mallopt.cache_clear()
