"""/memory: figures of kernel, Python, malloc and pybrpc."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from pybrpc.builtin.process import memory_page
from pybrpc.builtin.process.memory_page import (
    malloc_facts,
    process_facts,
    pybrpc_facts,
    python_facts,
)
from pybrpc.iobuf.block_pool import POOL
from pybrpc.transport.runtime import default_runtime
from tests.fakes.profiles import ask, text_of


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_resident_memory_is_that_of_the_kernel() -> None:
    found = dict(process_facts())
    assert int(found["VmRSS"].split()[0]) > 1024 * 1024
    assert found["VmRSS"].endswith("MiB)")


def test_python_tells_of_its_collector() -> None:
    found = dict(python_facts())
    assert found["generation 2"].startswith("collections ")
    assert int(found["blocks allocated"]) > 1000
    assert "traced by tracemalloc" not in found


def test_tracemalloc_is_shown_while_it_traces() -> None:
    tracemalloc.start()
    try:
        assert "traced by tracemalloc" in dict(python_facts())
    finally:
        tracemalloc.stop()


def test_malloc_knows_what_is_in_use() -> None:
    found = dict(malloc_facts())
    if not found:
        pytest.skip("no mallinfo2")
    assert int(found["in use"].split()[0]) > 100_000


def test_without_mallinfo2_there_is_no_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_page, "_mallinfo", lambda: None)
    assert malloc_facts() == []
    assert "[malloc]" not in text_of(ask("/memory"))


def test_budgets_are_those_of_the_runtime() -> None:
    runtime = default_runtime()
    runtime.backlog.try_reserve(4096)
    try:
        found = dict(pybrpc_facts())
    finally:
        runtime.backlog.release(4096)
    assert found["reserved for responses"] == "4096 (4.00 KiB)"
    assert found["limit (max_queued_bytes)"] == "1073741824 (1.00 GiB)"


def test_the_pool_of_blocks_is_counted() -> None:
    view = POOL.take(1 << 20)
    size = int(dict(pybrpc_facts())["blocks that data is received into"].split()[0])
    assert size >= 1 << 20
    view.release()


def test_no_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_runtime().stream_budget, "limit_bytes", None)
    assert dict(pybrpc_facts())["limit (max_unread_bytes)"] == "no limit"


def test_the_page_has_all_sections() -> None:
    text = text_of(ask("/memory"))
    for title in ("[Python]", "[pybrpc]"):
        assert title in text
    assert "<h2>Python</h2>" in text_of(ask("/memory", html=True))
