"""Requests of HTTP, by wrk: JSON that is echoed, and a text.

wrk needs a processor too, and shares those of the machine with the server. So the processor time of
the server is a figure beside the requests a second: what else runs on the machine changes it less.
"""

from __future__ import annotations

from bench.figures import Figures
from bench.http.running import running_http_server
from bench.http.servers import SERVERS, names_for
from bench.http.tasks import TASKS
from bench.http.wrk import run_wrk
from bench.measures.measure import Measure, Run
from bench.site import Site
from bench.work import HttpRequests, Window, Work

WARM_UP_S = 1
SAME, OTHER = "the same", "other heads"
"""Points: requests of a connection that are the same bytes, or have a header that differs."""

POINTS = {SAME: HttpRequests(), OTHER: HttpRequests(do_heads_differ=True)}


def missing(name: str) -> str:
    """Why that server can't take part, or ""."""
    return SERVERS[name].missing()


def asking(task_name: str) -> Run:
    """Measures a server by that request."""
    task = TASKS[task_name]

    def run(site: Site, name: str, work: Work, window: Window) -> Figures:
        """wrk takes whole seconds. ChildFailedError if a response is no success."""
        assert isinstance(work, HttpRequests)
        seconds = max(1, round(window.measure_s))
        with running_http_server(name, task) as server:
            run_wrk(server.port, task, work.connections, WARM_UP_S, work.do_heads_differ)
            before = server.cpu_s()
            found = run_wrk(server.port, task, work.connections, seconds, work.do_heads_differ)
            cpu_s = server.cpu_s() - before
        return {
            "calls": found.calls,
            "calls_per_s": found.calls / found.seconds,
            "server_cpu_us": cpu_s / found.calls * 1e6,
            "p50_us": found.p50_us,
            "p99_us": found.p99_us,
        }

    return run


def http_measure(task_name: str, title: str) -> Measure:
    """The measure of that request."""
    return Measure(
        name=f"http-{task_name}",
        title=title,
        axis="requests",
        points=POINTS,
        peers=names_for(task_name),
        run=asking(task_name),
        tables=("calls_per_s", "server_cpu_us", "p50_us", "p99_us"),
        missing=missing,
        lasts=2.0,
        is_extra=True,
        group="http",
    )
