"""The page of one worker: its links stay with it, and nothing of its text becomes a link."""

from __future__ import annotations

import pytest

from pybrpc.builtin.html import tag
from pybrpc.builtin.registry import run_page
from pybrpc.server.workers.pages.one_worker import of_one_worker, with_worker
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of


def test_parameter_is_added_to_any_query() -> None:
    assert with_worker("/vars", 3) == "/vars?worker=3"
    assert with_worker("/vars?a=b", 3) == "/vars?a=b&worker=3"


def test_links_stay_with_the_worker() -> None:
    page = tag("p", tag("a", "x", href="/vars/a?b=1&c"), tag("a", "y", href="/"))
    found = Markup(of_one_worker(page, 2))
    assert found.values_of("href") == ["/vars/a?b=1&c&worker=2", "/"]


def test_home_and_files_are_those_of_all() -> None:
    page = tag("a", "home", href="/") + tag("link", href="/css/pybrpc.css?v=1")
    assert of_one_worker(page, 2) == page


def test_text_of_a_peer_becomes_no_link() -> None:
    text = ' href="/vars" <form method="get"> <span class="worker">x</span>'
    page = tag("p", text)
    assert of_one_worker(page, 2) == page


@pytest.mark.parametrize("text", [HOSTILE, ' href="/x"', '"></span><script>'])
@pytest.mark.parametrize("target", ["/status", "/vars", "/connections", "/rpcz", "/flags"])
def test_page_of_a_hostile_worker_is_as_safe_as_before(target: str, text: str) -> None:
    response = run_page(request_of(target, wants_html=True), FakeServerView(text))
    page = str(response.body)
    found = Markup(of_one_worker(page, 7))
    assert found.dangers() == Markup(page).dangers() == []
    links = [url for url in found.values_of("href") if "?" in url and "/css/" not in url]
    assert all(url.endswith("worker=7") for url in links)


def test_forms_that_look_stay_and_forms_that_change_reach_all() -> None:
    look = '<form method="get" action="/vars"></form>'
    change = '<form method="post" action="/flags/x"></form>'
    assert '<input type="hidden" name="worker" value="4">' in of_one_worker(look, 4)
    assert of_one_worker(change, 4) == change


def test_name_of_the_worker_leads_to_all() -> None:
    page = '<span class="worker">worker 1 (pid 7)</span>'
    assert '<a href="/workers">worker 1 (pid 7)</a>' in of_one_worker(page, 1)
