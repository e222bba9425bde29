"""/index: all pages that a client may use."""

from __future__ import annotations

from pybrpc.builtin.registry import PAGES, run_page
from tests.fakes.pages import FakeServerView, Markup, request_of

TITLED = [name for name, entry in PAGES.items() if entry.title]


def test_text_has_a_line_for_each_page_and_its_forms() -> None:
    body = str(run_page(request_of("/"), FakeServerView()).body)
    lines = body.splitlines()
    assert [
        line.split(" : ")[0][1:] for line in lines if line.startswith("/") and " : " in line
    ] == TITLED
    assert "/vars : List all exposed bvars" in lines
    assert "  /vars/rpc_socket_count : List the bvar" in lines
    assert lines[-1] == (
        "curl -H 'Content-Type: application/json' -d 'JSON' 127.0.0.1:8000/ServiceName/MethodName"
        " : Call method by http+json"
    )
    assert body == str(run_page(request_of("/index?as_more"), FakeServerView()).body)


def test_html_links_to_each_page() -> None:
    markup = Markup(str(run_page(request_of("/", wants_html=True), FakeServerView()).body))
    assert {f"/{name}" for name in TITLED} <= set(markup.values_of("href"))


def test_a_client_from_outside_learns_that_there_is_more() -> None:
    for is_html in (False, True):
        request = request_of("/", wants_html=is_html, is_internal=False)
        body = str(run_page(request, FakeServerView()).body)
        assert "/vars" in body
        assert "/ids" not in body
        assert "more pages are only on internal_port" in body
