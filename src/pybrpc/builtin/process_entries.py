"""The pages of the two packages `process` and `profiling`, for the registry."""

from __future__ import annotations

from pybrpc.builtin.page import PageEntry
from pybrpc.builtin.process import loggers_page, memory_page, tasks_page, thread_dump
from pybrpc.builtin.profiling import hotspots_page, pprof_page

ENTRIES: tuple[PageEntry, ...] = (
    hotspots_page.ENTRY,
    pprof_page.ENTRY,
    thread_dump.ENTRY,
    *tasks_page.ENTRIES,
    memory_page.ENTRY,
    *loggers_page.ENTRIES,
)
