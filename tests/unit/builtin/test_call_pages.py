"""/ids: calls in flight."""

from __future__ import annotations

from pybrpc.builtin.registry import run_page
from tests.fakes.pages import FakeServerView, Markup, request_of


def test_text_has_a_line_for_each_call() -> None:
    body = str(run_page(request_of("/ids"), FakeServerView()).body)
    assert body == (
        "count: 1\n"
        "id=3-1 method=pkg.E.M peer=10.0.0.1:5 age_ms=1500.000 remaining_ms=-500.000 "
        "connection=open log_id=8 request_bytes=9 socket=3\n"
    )


def test_html_marks_calls_that_are_late() -> None:
    markup = Markup(str(run_page(request_of("/ids", wants_html=True), FakeServerView()).body))
    assert "-500 ms" not in markup.text
    assert "-0.5 s" in markup.text
    assert {"/ids/3-1", "/sockets/3"} <= set(markup.values_of("href"))
    assert "bad" in markup.values_of("class")


def test_one_call() -> None:
    body = str(run_page(request_of("/ids/3-1"), FakeServerView()).body)
    assert body.startswith("id: 3-1\nmethod: pkg.E.M\n")
    assert run_page(request_of("/ids/3-1", wants_html=True), FakeServerView()).status == 200
    assert run_page(request_of("/ids/3-2"), FakeServerView()).status == 404
