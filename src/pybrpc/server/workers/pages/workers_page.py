"""/workers: the worker processes, for the supervisor."""

from __future__ import annotations

import dataclasses

from pybrpc.builtin.html import tag
from pybrpc.builtin.layout import html_page, table, tiles
from pybrpc.builtin.page import PageRequest, PageResponse
from pybrpc.builtin.registrations import registration_lines, registration_section
from pybrpc.builtin.server_view import ServerView
from pybrpc.server.values import ServerStatistics
from pybrpc.server.workers.pages.one_worker import with_worker
from pybrpc.server.workers.supervisor_statistics import SupervisorStatistics, WorkerStatistics

COUNTERS = [field.name for field in dataclasses.fields(ServerStatistics)]


def show_workers(
    request: PageRequest, server: ServerView, statistics: SupervisorStatistics, slots: int
) -> PageResponse:
    """Process id, state, restarts and counters of each worker, and their sums."""
    workers = sorted(statistics.workers, key=lambda worker: (worker.number, worker.pid))
    if not request.wants_html:
        return PageResponse(_text(statistics, workers, slots, registration_lines(request, server)))
    serving = sum(worker.state == "serving" for worker in workers)
    total = statistics.total
    rows = [
        (
            tag("a", worker.number, href=with_worker("/status", worker.number)),
            worker.pid,
            worker.state,
            f"{worker.age_s:.0f} s",
            worker.restarts,
            *(getattr(worker.statistics, name) for name in COUNTERS),
        )
        for worker in workers
    ]
    rows.append(("all", "", "", "", "", *(getattr(total, name) for name in COUNTERS)))
    return html_page(
        request,
        server,
        "Workers",
        tiles(
            [
                ("serving", f"{serving} of {slots}", "good" if serving >= slots else "warn"),
                ("deaths", statistics.deaths, "warn" if statistics.deaths else None),
                ("requests", total.requests, None),
                ("errors", total.errors, "warn" if total.errors else None),
            ]
        ),
        registration_section(request, server),
        table(
            ("worker", "pid", "state", "age", "restarts", *COUNTERS),
            rows,
            "nn-nn" + "n" * len(COUNTERS),
        ),
        tag("p", "Each worker reports once a second. Sums include those that have ended.")
        if workers
        else None,
    )


def _text(
    statistics: SupervisorStatistics,
    workers: list[WorkerStatistics],
    slots: int,
    registrations: list[str],
) -> str:
    lines = [f"workers: {slots}", f"deaths: {statistics.deaths}", *registrations]
    for worker in workers:
        lines += [
            "",
            f"[worker {worker.number}]",
            f"pid: {worker.pid}",
            f"state: {worker.state}",
            f"age_s: {worker.age_s:.0f}",
            f"restarts: {worker.restarts}",
            *_counters(worker.statistics),
        ]
    return "\n".join([*lines, "", "[all]", *_counters(statistics.total), ""])


def _counters(statistics: ServerStatistics) -> list[str]:
    return [f"{name}: {getattr(statistics, name)}" for name in COUNTERS]
