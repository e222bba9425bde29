"""GatheredPages: pages of all workers, of one, and of those that don't answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families

from pybrpc.base.flag_values import FLAGS
from pybrpc.builtin.form_token import FORM_TOKEN
from pybrpc.builtin.page import PageResponse
from pybrpc.builtin.registry import PAGES, run_page
from pybrpc.metrics import Adder, Counter, LatencyRecorder, MultiDimension
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.server.workers.pages.gathered import GatheredPages
from pybrpc.server.workers.pages.outcomes import UNANSWERED_HEADER
from tests.fakes.metrics import own_variables
from tests.fakes.page_workers import PageWorkers
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of

SOON_S = 0.2
LATE_S = 60.0


@pytest.fixture
def workers() -> Iterator[PageWorkers]:
    with PageWorkers(2) as made:
        yield made


def ask(
    workers: PageWorkers, target: str, method: str = "GET", seconds: float = LATE_S, **fields: Any
) -> PageResponse:
    """The answer of the supervisor."""
    pages = GatheredPages(workers, seconds).entries()
    return run_page(request_of(target, method, **fields), FakeServerView(), pages)


def text_of(response: PageResponse) -> str:
    return response.body_bytes().decode()


def test_there_are_all_pages_of_a_server_and_that_of_the_workers(workers: PageWorkers) -> None:
    found = GatheredPages(workers).entries()
    assert found.keys() == {*PAGES, "workers"}
    assert "/workers : Worker processes" in text_of(ask(workers, "/"))


@pytest.mark.parametrize("is_html", [False, True])
@pytest.mark.parametrize("name", sorted({*PAGES, "workers"}))
def test_each_page_has_an_answer(workers: PageWorkers, name: str, is_html: bool) -> None:
    found = ask(workers, f"/{name}", wants_html=is_html)
    assert found.status == (200 if name not in ("css", "js", "hotspots", "pprof") else found.status)
    assert found.status < 500
    if found.content_type.startswith("text/html"):
        assert Markup(text_of(found)).dangers() == []


@pytest.mark.parametrize("is_html", [False, True])
def test_client_from_outside_has_the_public_pages_alone(
    workers: PageWorkers, is_html: bool
) -> None:
    for target in ("/workers", "/connections", "/connections?worker=0"):
        found = ask(workers, target, is_internal=False, wants_html=is_html)
        assert found.status == 403
    assert ask(workers, "/vars", is_internal=False).status == 200


# --- one worker ---


def test_page_of_one_worker(workers: PageWorkers) -> None:
    workers.views[1].version = "of the second"
    assert text_of(ask(workers, "/version?worker=1")) == "of the second"


@pytest.mark.parametrize(
    ("worker", "status"),
    [("2", 404), ("99999", 404), ("100000", 400), ("", 400), ("-1", 400), ("x", 400), ("٣", 400)],
)
def test_worker_that_is_not_there(workers: PageWorkers, worker: str, status: int) -> None:
    assert ask(workers, f"/status?worker={worker}").status == status


def test_worker_that_has_died_does_not_run(workers: PageWorkers) -> None:
    workers.die(workers.workers[1])
    found = ask(workers, "/status?worker=1")
    assert (found.status, text_of(found)) == (503, "worker 1 does not run\n")


def test_of_two_with_a_number_the_one_that_serves_answers(workers: PageWorkers) -> None:
    workers.workers.insert(0, workers.add(0, "stopping", is_silent=True))
    assert ask(workers, "/version?worker=0").status == 200


def test_silent_worker_is_named(workers: PageWorkers) -> None:
    with PageWorkers(1, silent=(0,)) as silent:
        found = ask(silent, "/status?worker=0", seconds=SOON_S)
    assert found.status == 504
    assert text_of(found) == "worker 0 (pid 101): it did not answer within 0.2 s\n"


def test_html_of_one_worker_stays_with_it(workers: PageWorkers) -> None:
    workers.views[1].text = HOSTILE
    markup = Markup(text_of(ask(workers, "/connections?worker=1", wants_html=True)))
    assert markup.dangers() == []
    assert "/vars?worker=1" in markup.values_of("href")


# --- each ---


def test_texts_of_all_come_one_after_the_other(workers: PageWorkers) -> None:
    text = text_of(ask(workers, "/flags"))
    assert text.startswith("==== worker 0 (pid 101) ====\n\nName | Value")
    assert "\n==== worker 1 (pid 102) ====\n\nName | Value" in text


def test_silent_worker_is_named_among_the_others() -> None:
    with PageWorkers(2, silent=(0,)) as workers:
        found = ask(workers, "/flags", seconds=SOON_S)
    assert found.status == 200
    assert "==== worker 0 (pid 101) ====\n\nit did not answer within 0.2 s\n" in text_of(found)


def test_browser_gets_links(workers: PageWorkers) -> None:
    hostile = '"><script>&x=\\\\<'
    found = ask(workers, f"/sockets/{hostile}?a={hostile}&b", wants_html=True)
    markup = Markup(text_of(found))
    assert markup.dangers() == []
    links = [url for url in markup.values_of("href") if "worker=" in url]
    assert [url[-9:] for url in links] == ["&worker=0", "&worker=1"]
    assert all(url.startswith("/sockets/%22%3E%3Cscript%3E&x=") or "%26" in url for url in links)


def test_profile_of_all_is_taken_of_none(workers: PageWorkers) -> None:
    found = ask(workers, "/hotspots/cpu?seconds=1")
    assert (found.status, text_of(found)) == (
        400,
        "Ask one worker:\n"
        "/hotspots/cpu?seconds=1&worker=0 : worker 0 (pid 101)\n"
        "/hotspots/cpu?seconds=1&worker=1 : worker 1 (pid 102)\n",
    )


def test_profile_has_its_time_to_answer(workers: PageWorkers) -> None:
    # Longer than the time that other pages have.
    found = ask(workers, "/hotspots/cpu?seconds=0.5&worker=0", seconds=0.4)
    assert found.status == 200


# --- POST ---


def test_post_reaches_all(workers: PageWorkers) -> None:
    flag = FLAGS.find("save_series")
    assert flag is not None
    before = flag.value
    headers = HttpHeaders({"X-Pybrpc-Post": "1"})
    try:
        found = ask(workers, "/flags/save_series", "POST", body=b"value=false", headers=headers)
        assert flag.value is False
    finally:
        flag.set_text(str(before).lower())
    assert found.status == 200
    assert [line.partition(":")[0] for line in text_of(found).splitlines()] == [
        "worker 0 (pid 101)",
        "worker 1 (pid 102)",
    ]


def test_post_that_fails_in_one_fails(workers: PageWorkers) -> None:
    headers = HttpHeaders({"X-Pybrpc-Post": "1"})
    found = ask(workers, "/flags/nothing", "POST", body=b"value=1", headers=headers)
    assert found.status == 404
    workers.die(workers.workers[1])
    found = ask(workers, "/flags/save_series", "POST", body=b"value=true", headers=headers)
    assert found.status == 503
    assert text_of(found).endswith("worker 1: 503 it does not run\n")


def test_post_needs_the_token_of_the_supervisor(workers: PageWorkers) -> None:
    body = b"value=true&token="
    assert ask(workers, "/flags/save_series", "POST", body=body).status == 403
    body += FORM_TOKEN.share().encode()
    found = ask(workers, "/flags/save_series", "POST", body=body, wants_html=True)
    assert found.status == 200
    assert Markup(text_of(found)).dangers() == []


def test_too_long_request_is_told(workers: PageWorkers) -> None:
    assert ask(workers, f"/flags/{'x' * 70_000}").status == 413


# --- merged ---


def test_variables_are_sums(workers: PageWorkers) -> None:
    with own_variables():
        calls = Adder("calls")
        calls << 21
        assert text_of(ask(workers, "/vars")) == "calls : 42\n"
        assert text_of(ask(workers, "/vars/ca*")) == "calls : 42\n"
        assert ask(workers, "/vars/other").status == 404
        assert text_of(ask(workers, "/vars?worker=1")) == "calls : 21\n"
        html = text_of(ask(workers, "/vars", wants_html=True))
        assert '<td data-var="calls">42</td>' in html
        assert ask(workers, "/vars/calls?series").status == 400
        assert "calls 42\n" in text_of(ask(workers, "/brpc_metrics"))


def test_metrics_are_what_prometheus_reads(workers: PageWorkers) -> None:
    with own_variables():
        Counter("calls").add(21)
        latency = LatencyRecorder("rpc_server_x_search")
        latency << 100 << 3_000_000
        by_user = MultiDimension(Adder, ("user",), "by_user")
        by_user.get_stats(HOSTILE).add(4)
        plain = text_of(ask(workers, "/metrics"))
        accept = HttpHeaders({"Accept": "application/openmetrics-text"})
        strict = text_of(ask(workers, "/metrics", headers=accept))
        old = text_of(ask(workers, "/brpc_metrics"))
    for families in (text_string_to_metric_families(plain), parse_open(strict)):
        found = {family.name: family.samples for family in families}
        assert found["calls"][0].value == 42
        assert found["rpc_server_x_search_latency_seconds"][-1].value == 4
        assert {sample.labels["worker"] for sample in found["by_user"]} == {"0", "1"}
        assert {sample.labels["user"] for sample in found["by_user"]} == {HOSTILE}
    found = {family.name: family.samples for family in text_string_to_metric_families(old)}
    assert [s.value for s in found["rpc_server_x_search"] if s.name.endswith("_count")] == [4]
    assert [s.value for s in found["by_user"]] == [8]


def test_those_that_do_not_answer_are_named_in_a_header() -> None:
    text = "worker 0 (pid 101): it did not answer within 0.2 s"
    with PageWorkers(2, silent=(0,)) as workers, own_variables():
        Adder("calls") << 1
        for target in ("/vars", "/brpc_metrics", "/metrics"):
            found = ask(workers, target, seconds=SOON_S)
            assert found.status == 200
            assert found.headers[UNANSWERED_HEADER] == text


def test_without_workers_there_are_no_variables_but_metrics(workers: PageWorkers) -> None:
    with own_variables():
        Counter("calls").add(3)
        pages = GatheredPages(workers).entries()

        def look(target: str) -> PageResponse:
            return run_page(request_of(target), FakeServerView(), pages)

        assert "calls_total 6\n" in text_of(look("/metrics"))
        for worker in workers.asked_workers():
            workers.die(worker)
        assert look("/vars").status == 503
        assert "calls_total 6\n" in text_of(look("/metrics"))
        assert "pybrpc_worker_deaths_total 2\n" in text_of(look("/metrics"))


def test_all_are_healthy_or_it_says_who_is_not(workers: PageWorkers) -> None:
    assert text_of(ask(workers, "/health")) == "OK"
    workers.views[1].health_reporter = lambda: False
    found = ask(workers, "/health", wants_html=True)
    assert (found.status, text_of(found)) == (503, "worker 1 (pid 102): unhealthy\n")


def test_worker_that_does_not_serve_is_not_healthy(workers: PageWorkers) -> None:
    workers.die(workers.workers[0])
    workers.add(0, "starting")
    for name in ("health", "readiness"):
        found = ask(workers, f"/{name}")
        assert (found.status, text_of(found)) == (503, "worker 0 does not serve\n")


def test_worker_that_is_replaced_is_not_asked_for_its_health(workers: PageWorkers) -> None:
    workers.add(0, "stopping", is_silent=True)
    assert ask(workers, "/readiness").status == 200


def test_version_is_one_or_that_of_each(workers: PageWorkers) -> None:
    assert text_of(ask(workers, "/version")) == "1.0"
    workers.views[1].version = "1.1"
    text = text_of(ask(workers, "/version"))
    assert "worker 0 (pid 101) ====\n\n1.0\n" in text
    assert "worker 1 (pid 102) ====\n\n1.1\n" in text
