"""/hotspots: forms, profiles that are kept, and comparisons."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from pybrpc.builtin.profiling.heap_tracing import HEAP_TRACING
from pybrpc.builtin.profiling.slot import PROFILE_SLOT
from pybrpc.builtin.profiling.stored_profiles import STORED_PROFILES
from tests.fakes.profiles import HOSTILE, ask, profile_of, text_of

KINDS = ("cpu", "heap", "growth", "contention")


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    STORED_PROFILES.clear()
    yield
    STORED_PROFILES.clear()
    HEAP_TRACING.stop()


def test_a_browser_gets_a_form_and_starts_nothing() -> None:
    with PROFILE_SLOT.hold("other"):  # a profile would fail
        for kind in KINDS:
            response = ask(f"/hotspots/{kind}", html=True)
            assert response.status == 200
            assert "<form" in text_of(response)
    assert STORED_PROFILES.latest_first(*KINDS) == []


def test_curl_gets_a_table_at_once() -> None:
    response = ask("/hotspots/cpu?seconds=0.05")
    assert (response.status, response.content_type) == (200, "text/plain; charset=utf-8")
    assert text_of(response).startswith("cpu profile of ")


def test_a_browser_is_sent_to_the_profile_that_was_taken() -> None:
    response = ask("/hotspots/contention?seconds=0.05", html=True)
    (stored,) = STORED_PROFILES.latest_first("contention")
    assert response.status == 303
    assert response.headers["Location"] == f"/hotspots/contention?id={stored.number}"
    shown = ask(response.headers["Location"], html=True)
    assert "lag of threads" in text_of(shown)
    assert response.headers["Location"] in text_of(ask("/hotspots/contention", html=True))


def test_wall_time_is_a_mode_of_cpu() -> None:
    assert text_of(ask("/hotspots/cpu?seconds=0.05&mode=wall")).startswith("wall profile of ")
    assert "wall" in text_of(ask("/hotspots/cpu", html=True))


@pytest.mark.parametrize("wants_html", [False, True])
def test_while_one_runs_another_is_refused(wants_html: bool) -> None:
    with PROFILE_SLOT.hold("heap"):
        response = ask("/hotspots/cpu?seconds=0.05", html=wants_html)
    assert response.status == 503
    assert "another profile runs: heap" in text_of(response)
    assert response.headers["Retry-After"] == "10"


def test_profiles_are_compared() -> None:
    first = STORED_PROFILES.add(profile_of({"main;a": 10, "main;b": 10}))
    second = STORED_PROFILES.add(profile_of({"main;a": 30, "main;b": 5}))
    text = text_of(ask(f"/hotspots/cpu?id={second.number}&base={first.number}"))
    assert [line.split()[-3:] for line in text.splitlines()[3:5]] == [
        ["ns", "a", "/app/x.py"],
        ["ns", "b", "/app/x.py"],
    ]
    assert "+20 ns" in text
    page = text_of(ask(f"/hotspots/cpu?id={second.number}&base={first.number}", html=True))
    assert "Red has grown" in page
    assert f"id={second.number}&amp;base={first.number}&amp;at=0" in page
    alone = text_of(ask(f"/hotspots/cpu?id={second.number}", html=True))
    assert f"id={second.number}&amp;base={first.number}" in alone


def test_profiles_of_two_kinds_are_not_compared() -> None:
    cpu, heap = (STORED_PROFILES.add(profile_of({"a": 1}, kind=kind)) for kind in ("cpu", "heap"))
    response = ask(f"/hotspots/cpu?id={cpu.number}&base={heap.number}")
    assert response.status == 400
    assert "not compared" in text_of(response)


def test_the_graph_is_an_image_of_its_own() -> None:
    stored = STORED_PROFILES.add(profile_of({"main;work": 5}, thread="worker-*"))
    response = ask(f"/hotspots/cpu?id={stored.number}&display_type=flame&threads=1")
    assert response.content_type == "image/svg+xml"
    ElementTree.fromstring(response.body_bytes())
    assert "thread worker-*" in text_of(response)


def test_text_is_there_for_browsers_too() -> None:
    stored = STORED_PROFILES.add(profile_of({"main;work": 5}))
    response = ask(f"/hotspots/cpu?id={stored.number}&display_type=text", html=True)
    assert response.content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize("number", ["0", "x", "-1", "9" * 5000, "²", HOSTILE])
def test_an_unknown_profile_is_not_found(number: str) -> None:
    stored = STORED_PROFILES.add(profile_of({"a": 1}))
    assert ask(f"/hotspots/cpu?id={number}").status == 404
    assert ask(f"/hotspots/cpu?id={stored.number}&base={number}").status == 404


def test_an_unknown_kind_is_not_found() -> None:
    assert ask("/hotspots/iobuf").status == 404


@pytest.mark.parametrize("wants_html", [False, True])
def test_without_a_kind_all_are_listed(wants_html: bool) -> None:
    with PROFILE_SLOT.hold("other"):
        text = text_of(ask("/hotspots", html=wants_html))
    for kind in KINDS:
        assert f"/hotspots/{kind}" in text


def test_head_takes_no_profile() -> None:
    assert ask("/hotspots/cpu", method="HEAD").status == 200
    assert STORED_PROFILES.latest_first("cpu") == []


def test_the_heap_is_traced_between_two_posts() -> None:
    assert ask("/hotspots/heap").status == 409
    assert "Start tracing" in text_of(ask("/hotspots/heap", html=True))
    started = ask("/hotspots/heap", method="POST", body="action=start&frames=3&seconds=100")
    assert text_of(started) == "tracemalloc traces for 100 s\n"
    assert tracemalloc.get_traceback_limit() == 3
    assert text_of(ask("/hotspots/heap")).startswith("heap profile of ")
    assert text_of(ask("/hotspots/growth?seconds=0.05")).startswith("growth profile of ")
    assert "Stop tracing" in text_of(ask("/hotspots/heap", html=True))
    again = ask("/hotspots/heap", method="POST", body="action=start")
    assert again.status == 409
    stopped = ask("/hotspots/heap", method="POST", body="action=stop", html=True)
    assert (stopped.status, stopped.headers["Location"]) == (303, "/hotspots/heap")
    assert not tracemalloc.is_tracing()
    assert text_of(ask("/hotspots/heap", method="POST", body="action=stop")) == (
        "nothing was started here\n"
    )


@pytest.mark.parametrize(
    "body", ["", "action=go", "action=start&frames=26", "action=start&seconds=nan"]
)
def test_a_wrong_post_is_refused(body: str) -> None:
    assert ask("/hotspots/heap", method="POST", body=body).status == 400
    assert not tracemalloc.is_tracing()


def test_cpu_has_no_post() -> None:
    assert ask("/hotspots/cpu", method="POST", body="action=start").status == 405


def test_tracing_of_the_application_can_not_be_stopped_here() -> None:
    tracemalloc.start()
    try:
        page = text_of(ask("/hotspots/heap", html=True))
        assert "the application" in page
        assert "Stop tracing" not in page
        ask("/hotspots/heap", method="POST", body="action=stop")
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
