"""Registrations on pages: what internal clients see of them, and what others do."""

from __future__ import annotations

import pytest

from pybrpc.builtin.registrations import registration_lines, registration_section
from pybrpc.builtin.server_view import RegistrationView
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of

VIEWS = [
    RegistrationView("etcd://10.9.9.9:2379/svc", "10.0.0.1:80 3", True, "status\n503", 0),
    RegistrationView("consul://10.9.9.9/echo", "", False, "10.9.9.9: refused", 2),
]


@pytest.fixture
def view() -> FakeServerView:
    made = FakeServerView()
    made.registrations_shown = list(VIEWS)
    return made


def test_lines_have_state_address_and_the_error_that_lasts(view: FakeServerView) -> None:
    assert registration_lines(request_of("/status"), view) == [
        "registration: registered as 10.0.0.1:80 3 at etcd://10.9.9.9:2379/svc",
        "registration: not registered at consul://10.9.9.9/echo (10.9.9.9: refused)",
    ]


def test_other_clients_do_not_see_where_the_naming_service_is(view: FakeServerView) -> None:
    request = request_of("/status", is_internal=False)
    lines = registration_lines(request, view)
    assert lines[0] == "registration: registered as 10.0.0.1:80 3 at etcd://..."
    assert "10.9.9.9" not in "".join(lines) + str(registration_section(request, view))


def test_table_has_the_last_error_too(view: FakeServerView) -> None:
    text = Markup(str(registration_section(request_of("/status"), view))).text
    for shown in ("10.0.0.1:80 3", "etcd://10.9.9.9:2379/svc", "503", "not registered", "2"):
        assert shown in text


def test_texts_of_others_are_escaped_and_stay_on_one_line(view: FakeServerView) -> None:
    view.registrations_shown = [RegistrationView(HOSTILE, HOSTILE, False, f"a\n{HOSTILE}", 1)]
    (line,) = registration_lines(request_of("/status"), view)
    assert "\n" not in line
    assert Markup(str(registration_section(request_of("/status"), view))).dangers() == []


def test_server_without_any_has_no_section() -> None:
    view = FakeServerView()
    assert registration_lines(request_of("/status"), view) == []
    assert registration_section(request_of("/status"), view) is None
