"""The metrics of real workers that are replaced, stopped, killed: no sum falls, none is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pybrpc.errors import RpcError
from tests.fakes.threads import wait_until
from tests.peers.supervised import call, pids_of, wait_replaced
from tests.peers.worker_pages import Pages, paged, pid_of

CALLS = 12
ERRORS = 3
Sums = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def sums_in(metrics: str) -> Sums:
    """All values of counters and histograms."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics)
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


def call_some(pages: Pages) -> None:
    """CALLS calls, each over a connection of its own, and ERRORS more that fail."""
    for _ in range(CALLS):
        call(pages.supervisor.endpoint)
    for _ in range(ERRORS):
        with contextlib.suppress(RpcError):
            call(pages.supervisor.endpoint, "fail", max_retry=0)


def counted(pages: Pages) -> tuple[float, float]:
    """Calls, and calls that have failed, as two metrics have counted them."""
    metrics = pages.text("/metrics")
    port = pages.supervisor.endpoint.port
    errors = f"rpc_server_{port}_conformance_echo_service_echo_error_total"
    sums = sums_in(metrics)
    calls = sum(
        value
        for (name, _), value in sums.items()
        if name == "brpc_server_call_duration_seconds_count"
    )
    return calls, sums[(errors, ())]


def test_counts_of_replaced_workers_are_not_lost_though_nobody_has_asked() -> None:
    with paged("make_async_server", workers=1) as pages:
        call_some(pages)
        before = pids_of(pages.supervisor)
        pages.supervisor.restart()
        wait_replaced(pages.supervisor, before, workers=1)
        assert counted(pages) == (CALLS + ERRORS, ERRORS)


@pytest.mark.proof
def test_worker_that_is_told_to_stop_loses_no_counts_and_a_killed_one_those_nobody_saw() -> None:
    with paged(workers=1) as pages:
        for how in (signal.SIGTERM, signal.SIGKILL):
            call_some(pages)
            if how == signal.SIGKILL:
                seen = counted(pages)
                call(pages.supervisor.endpoint)
            before = pids_of(pages.supervisor)
            os.kill(pid_of(pages, 0), how)
            wait_replaced(pages.supervisor, before, workers=1)
        assert seen == (2 * (CALLS + ERRORS), 2 * ERRORS)
        assert counted(pages) == seen
        call(pages.supervisor.endpoint)
        assert counted(pages) == (seen[0] + 1, seen[1])


@contextlib.contextmanager
def scraped(pages: Pages) -> Iterator[list[str]]:
    """Scrape in two threads meanwhile. At the end: what has fallen, which should be nothing."""
    fallen: list[str] = []
    is_over = threading.Event()

    def scrape() -> None:
        before: Sums = {}
        while not is_over.is_set():
            now = sums_in(pages.text("/metrics"))
            fallen.extend(
                f"{key}: {value} -> {now.get(key)}"
                for key, value in before.items()
                if now.get(key, -1.0) < value
            )
            before = now

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield fallen
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@pytest.mark.proof
def test_no_sum_falls_while_workers_are_replaced_and_killed() -> None:
    with paged(workers=2) as pages:
        call_some(pages)
        with scraped(pages) as fallen:
            before = pids_of(pages.supervisor)
            pages.supervisor.restart()
            while not before.isdisjoint(pids_of(pages.supervisor)):
                call(pages.supervisor.endpoint)
            wait_replaced(pages.supervisor, before)
            before = pids_of(pages.supervisor)
            os.kill(pid_of(pages, 0), signal.SIGKILL)
            wait_until(lambda: len(pids_of(pages.supervisor) - before) == 1)
            call_some(pages)
        assert fallen == []
        assert counted(pages)[1] >= ERRORS


@pytest.mark.program("promtool")
def test_promtool_has_no_objection_to_the_metrics_of_workers() -> None:
    with paged(workers=2) as pages:
        call_some(pages)
        for url in (pages.text("/metrics"), pages.text("/metrics?worker=1")):
            result = subprocess.run(
                ["promtool", "check", "metrics"],
                input=url,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (result.returncode, result.stdout + result.stderr) == (0, "")
