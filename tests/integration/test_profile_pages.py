"""Profiles of a server that serves calls, as a browser, curl and `go tool pprof` get them."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import pybrpc
from pybrpc.builtin.page import PageRequest, PageResponse
from pybrpc.builtin.profiling.slot import PROFILE_SLOT
from pybrpc.builtin.profiling.stored_profiles import STORED_PROFILES
from pybrpc.builtin.registry import PAGES, run_page
from pybrpc.builtin.server_view import ServerView
from tests.fakes.pages import Markup
from tests.fakes.profiles import PAGES as PROCESS_PAGES
from tests.fakes.profiles import thread_in
from tests.fakes.threads import wait_until
from tests.peers import page_server as peer
from tests.protos import conformance_pb2 as pb

ATTEMPTS = 20
CALLER = "busy_server.<locals>.call"
"""A function that is plain Python, in which a call begins; compiled ones are not in a profile."""


@pytest.fixture(autouse=True)
def all_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def run_any(request: PageRequest, view: ServerView) -> PageResponse:
        return run_page(request, view, {**PAGES, **PROCESS_PAGES})

    monkeypatch.setattr(peer, "run_page", run_any)
    yield
    STORED_PROFILES.clear()


@contextlib.contextmanager
def busy_server() -> Iterator[str]:
    """The address of the pages of a server that is called all the time."""
    end = threading.Event()

    def call(stub: pybrpc.Stub) -> None:
        while not end.is_set():
            stub.Echo(pb.EchoRequest(message="hello"))

    with peer.viewed_server() as (view, stub), peer.page_server(view) as address:
        stub.Stream(pb.EchoRequest(message="starts the loop"))
        with thread_in(lambda: call(stub), "caller"):
            try:
                yield address
            finally:
                end.set()


def read(url: str, agent: str = "curl/8", body: bytes | None = None) -> str:
    headers = {"User-Agent": agent, "X-Pybrpc-Post": "1"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=90) as answer:
        text: str = answer.read().decode()
        return text


def read_until(url: str, part: str) -> str:
    """The text at `url` once `part` is in it: a sample may miss what runs rarely."""
    for _ in range(ATTEMPTS):
        text = read(url)
        if part in text:
            break
    return text


def test_the_code_that_serves_calls_is_in_the_profile() -> None:
    with busy_server() as address:
        assert CALLER in read_until(f"{address}/hotspots/cpu?seconds=0.5", CALLER)


def test_a_browser_sees_a_graph_of_the_profile_that_it_has_asked_for() -> None:
    with busy_server() as address:
        page = Markup(read(f"{address}/hotspots/cpu?seconds=0.3", "Mozilla/5.0"))
    assert page.dangers() == []
    elements = [element for element, _ in page.elements]
    assert elements.count("rect") > 3
    assert "all (cpu)" in page.text


def test_heap_growth_and_contention_are_there() -> None:
    with busy_server() as address:
        assert "traces for 60 s" in read(
            f"{address}/hotspots/heap", body=b"action=start&seconds=60&frames=2"
        )
        assert read(f"{address}/hotspots/heap").startswith("heap profile")
        assert read(f"{address}/hotspots/growth?seconds=0.1").startswith("growth profile")
        assert read(f"{address}/hotspots/heap", body=b"action=stop") == "stopped\n"
        assert "lag of loop 1" in read(f"{address}/hotspots/contention?seconds=0.3")


def test_the_caller_and_the_loop_of_handlers_are_shown() -> None:
    with busy_server() as address:
        assert "\ncaller, id " in read(f"{address}/threads")
        assert read_until(f"{address}/tasks", "loop 1").startswith("loop 1")


def test_a_second_profile_is_refused_while_one_runs_and_the_first_ends_with_the_server() -> None:
    answers: list[str] = []
    with peer.viewed_server() as (view, _), peer.page_server(view) as address:
        url = f"{address}/hotspots/cpu?seconds=60"
        with thread_in(lambda: answers.append(read(url))):
            try:
                wait_until(lambda: "held" in repr(PROFILE_SLOT))
                with pytest.raises(urllib.error.HTTPError) as refused:
                    read(f"{address}/hotspots/contention?seconds=0.01")
            finally:
                view._run.stop(time.monotonic() + 60)
        with refused.value as error:
            assert (error.code, error.read()[:25]) == (503, b"another profile runs: cpu")
    assert answers[0].startswith("cpu profile of ")


@pytest.mark.program("go")
def test_go_tool_pprof_reads_it_from_the_server(tmp_path: Path) -> None:
    with busy_server() as address:
        for _ in range(ATTEMPTS):
            result = subprocess.run(
                ["go", "tool", "pprof", "-top", f"{address}/pprof/profile?seconds=1"],
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
            )
            assert result.returncode == 0, result.stderr
            if CALLER in result.stdout:
                break
    assert "Type: cpu" in result.stdout
    assert CALLER in result.stdout
