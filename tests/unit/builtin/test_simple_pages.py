"""/version, /health and /readiness."""

from __future__ import annotations

import pytest

from pybrpc.builtin.page import TEXT
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.server_view import HealthReport
from tests.fakes.pages import FakeServerView, request_of


@pytest.mark.parametrize("is_html", [False, True])
def test_health_is_ok_in_text_for_all(is_html: bool) -> None:
    response = run_page(request_of("/health", wants_html=is_html), FakeServerView())
    assert (response.status, response.body, response.content_type) == (200, "OK", TEXT)


@pytest.mark.parametrize(
    ("said", "status", "text"),
    [
        (None, 200, "OK"),
        (True, 200, "OK"),
        (False, 503, "unhealthy"),
        ("i'm ok", 200, "i'm ok"),
        (HealthReport(False, "no database"), 503, "no database"),
        (HealthReport(True), 200, "OK"),
    ],
)
def test_a_function_of_the_user_answers(said: object, status: int, text: str) -> None:
    view = FakeServerView()
    view.health_reporter = lambda: said  # type: ignore[return-value]
    response = run_page(request_of("/health", is_internal=False), view)
    assert (response.status, response.body) == (status, text)


@pytest.mark.parametrize("error", [OSError("x"), SystemExit(1), 3])
def test_a_function_that_raises_or_returns_nonsense_is_500(error: object) -> None:
    def report() -> bool:
        if isinstance(error, BaseException):
            raise error
        return error  # type: ignore[return-value]

    view = FakeServerView()
    view.health_reporter = report
    assert run_page(request_of("/health"), view).status == 500


def test_a_long_report_is_cut() -> None:
    view = FakeServerView()
    view.health_reporter = lambda: "x" * 100_000
    assert len(run_page(request_of("/health"), view).body) == 4096


def test_a_server_that_stops_is_healthy_and_not_ready() -> None:
    view = FakeServerView()
    assert run_page(request_of("/readiness"), view).status == 200
    view.is_stopping = True
    response = run_page(request_of("/readiness"), view)
    assert (response.status, response.body) == (503, "stopping")
    assert run_page(request_of("/health"), view).status == 200


def test_the_version_is_the_text_alone() -> None:
    assert run_page(request_of("/version"), FakeServerView()).body == "1.0"
    assert "1.0" in str(run_page(request_of("/version", wants_html=True), FakeServerView()).body)
