"""The servers of HTTP that the bench starts: each answers, and leaves no process behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.child_process import ChildFailedError
from bench.http.running import check_answer, running_http_server
from bench.http.servers import SERVERS
from bench.http.tasks import ECHO_BODY, TASKS, Task
from bench.http.wrk import run_wrk
from bench.measures import MEASURES
from bench.measures.http import OTHER, POINTS
from bench.process_time import members
from bench.site import Site
from bench.work import Window
from tests.fakes.threads import wait_until
from tests.peers.programs import require_program

ROOT = Path(__file__).parents[2]
PYBRPC = "http-pybrpc"

pytestmark = [pytest.mark.slow, pytest.mark.proof, pytest.mark.program("wrk")]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> Iterator[None]:
    """Where children find the package of the bench."""
    require_program("wrk")
    before = os.getcwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


@pytest.mark.parametrize("name", SERVERS)
def test_each_server_answers_and_ends(name: str) -> None:
    if reason := SERVERS[name].missing():
        pytest.skip(reason)
    first, *others = SERVERS[name].tasks
    with running_http_server(name, TASKS[first]) as server:
        for task in others:
            check_answer(server.port, TASKS[task])
        assert server.cpu_s() > 0
        group = server.process.pid
    wait_until(lambda: not members(group))


def test_requests_with_other_heads_are_counted() -> None:
    with Site() as site:
        figures = MEASURES["http-echo"].run(site, PYBRPC, POINTS[OTHER], Window(0, 1))
    assert figures["calls"] > 0
    assert figures["calls_per_s"] > 0
    assert figures["server_cpu_us"] > 0
    assert figures["p50_us"] <= figures["p99_us"]


def test_responses_that_are_errors_are_refused() -> None:
    with running_http_server(PYBRPC, TASKS["text"]) as server:
        missing = Task("/none", b"", "text/plain", b"")
        with pytest.raises(ChildFailedError, match="of status"):
            run_wrk(server.port, missing, 2, 1)


def test_a_server_with_another_answer_is_refused() -> None:
    other = Task("/EchoService/Echo", ECHO_BODY, "application/json", b'{"message": "other"}')
    with pytest.raises(ChildFailedError, match="another answer: 200"):
        with running_http_server(PYBRPC, other):
            pass
