"""The page /memory: what the process, Python, malloc and the budgets of pybrpc say about memory."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import TypeAlias

from pybrpc.builtin.html import tag
from pybrpc.builtin.layout import facts, html_page
from pybrpc.builtin.page import PageEntry, PageRequest, PageResponse
from pybrpc.builtin.profiling.profile import shown_value
from pybrpc.builtin.profiling.stored_profiles import STORED_PROFILES
from pybrpc.builtin.server_view import ServerView
from pybrpc.iobuf.block_pool import POOL, POOL_BYTES
from pybrpc.transport.runtime import default_runtime

Facts: TypeAlias = list[tuple[str, str]]
_STATUS_FIELDS = ("VmPeak", "VmSize", "VmHWM", "VmRSS", "RssAnon", "RssFile", "VmData", "VmSwap")


def _bytes(size: float) -> str:
    return f"{size:.0f} ({shown_value(size, 'bytes')})" if abs(size) >= 1024 else f"{size:.0f}"


def _limit(limit: int | None) -> str:
    return "no limit" if limit is None else _bytes(limit)


def process_facts() -> Facts:
    """Figures of the kernel (proc(5)); nothing without /proc."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    found: Facts = []
    for name in _STATUS_FIELDS:
        amount, _, unit = values.get(name, "").strip().partition(" ")
        if amount.isdigit() and unit == "kB":
            found.append((name, _bytes(int(amount) * 1024)))
    return found


def python_facts() -> Facts:
    """The collector and the allocator of Python."""
    found: Facts = [
        ("collector", "on" if gc.isenabled() else "off"),
        ("thresholds", " ".join(map(str, gc.get_threshold()))),
        ("objects since collections", " ".join(map(str, gc.get_count()))),
        ("frozen objects", str(gc.get_freeze_count())),
        ("garbage that can't be freed", str(len(gc.garbage))),
    ]
    for generation, stats in enumerate(gc.get_stats()):
        text = ", ".join(f"{name} {value}" for name, value in stats.items())
        found.append((f"generation {generation}", text))
    found.append(("blocks allocated", str(sys.getallocatedblocks())))
    if tracemalloc.is_tracing():
        in_use, peak = tracemalloc.get_traced_memory()
        found += [
            ("traced by tracemalloc", _bytes(in_use)),
            ("most traced", _bytes(peak)),
            ("tracemalloc itself", _bytes(tracemalloc.get_tracemalloc_memory())),
        ]
    return found


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of glibc 2.33 and later (mallinfo(3))."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


_MALLOC_TEXTS = (
    ("arena", "arenas", True),
    ("hblkhd", "mapped blocks", True),
    ("hblks", "count of mapped blocks", False),
    ("uordblks", "in use", True),
    ("fordblks", "free", True),
    ("ordblks", "count of free blocks", False),
    ("keepcost", "could be returned at once", True),
)


@functools.cache
def _mallinfo() -> Callable[[], _Mallinfo] | None:
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return None
    function.restype = _Mallinfo
    return function


def malloc_facts() -> Facts:
    """Figures of the malloc of glibc; nothing elsewhere."""
    function = _mallinfo()
    if function is None:
        return []
    info = function()
    return [
        (text, _bytes(getattr(info, name)) if is_size else str(getattr(info, name)))
        for name, text, is_size in _MALLOC_TEXTS
    ]


def pybrpc_facts() -> Facts:
    """The memory that pybrpc holds, with its limits."""
    runtime = default_runtime()
    backlog, streams = runtime.backlog, runtime.stream_budget
    return [
        ("blocks that data is received into", _bytes(POOL.size_bytes)),
        ("limit of unused ones", _bytes(POOL_BYTES)),
        ("unwritten bytes of all connections", _bytes(backlog.size_bytes)),
        ("reserved for responses", _bytes(backlog.reserved_bytes)),
        ("limit (max_queued_bytes)", _limit(backlog.limit_bytes)),
        ("unread bytes of streams", _bytes(streams.held_bytes)),
        ("streams that hold some", str(streams.holders)),
        ("limit (max_unread_bytes)", _limit(streams.limit_bytes)),
        ("profiles that are kept", str(len(STORED_PROFILES))),
        ("their bytes", _bytes(STORED_PROFILES.size_bytes)),
    ]


SECTIONS: tuple[tuple[str, Callable[[], Facts]], ...] = (
    ("Process", process_facts),
    ("Python", python_facts),
    ("malloc", malloc_facts),
    ("pybrpc", pybrpc_facts),
)


def show_memory(request: PageRequest, server: ServerView) -> PageResponse:
    """All of it. Nothing is collected, and nothing is returned to the system, by looking."""
    sections = [(title, found) for title, read in SECTIONS if (found := read())]
    if request.wants_html:
        blocks = [tag("section", tag("h2", title), facts(found)) for title, found in sections]
        return html_page(request, server, "Memory", blocks)
    lines: list[str] = []
    for title, found in sections:
        lines += [f"[{title}]", *(f"{name} : {value}" for name, value in found), ""]
    return PageResponse("\n".join(lines))


ENTRY = PageEntry("memory", show_memory, "Get memory allocator information")
