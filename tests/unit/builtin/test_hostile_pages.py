"""Nothing that a peer or a client chooses becomes markup, on any page."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from pybrpc import metrics
from pybrpc.base.flag_values import FLAGS
from pybrpc.builtin.registry import PAGES, run_page
from pybrpc.protocols.http1 import HttpHeaders
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of

TARGETS = sorted(f"/{name}" for name in PAGES)
OPEN = ["/sockets/3", "/ids/3-1", "/vars/a*?expand", "/flags/hostile?withform", "/vars?dataonly"]


def expose_hostile() -> None:
    metrics.Status(HOSTILE, "a_text")
    metrics.PassiveStatus(lambda: HOSTILE, "a_function")
    metrics.MultiDimension(metrics.Counter, ("label",), "a_family").get_stats(HOSTILE).add()
    metrics.Adder("a_number")
    FLAGS.define("hostile", HOSTILE, HOSTILE)


def checked(target: str, view: FakeServerView, method: str = "GET", **fields: object) -> str:
    """The HTML of a page, after it was checked."""
    request = request_of(target, method, wants_html=True, **fields)
    response = run_page(request, view)
    assert response.status != 500
    body = response.body_bytes().decode()
    if response.content_type.startswith("text/html"):
        assert Markup(body).dangers() == []
    else:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    return body


@pytest.mark.parametrize("target", [*TARGETS, *OPEN])
def test_names_of_others_are_text(target: str) -> None:
    expose_hostile()
    checked(target, FakeServerView(HOSTILE))


@pytest.mark.parametrize("target", [*TARGETS, "/nothing"])
@pytest.mark.parametrize("text", [HOSTILE, quote(HOSTILE, safe=""), "%00%ff", "\udcff", "..//%2e"])
def test_paths_are_text(target: str, text: str) -> None:
    checked(f"{target}/{text}", FakeServerView())


@pytest.mark.parametrize("target", TARGETS)
def test_parameters_are_text(target: str) -> None:
    expose_hostile()
    names = "filter series dataonly expand setvalue withform givemeall console seconds trace"
    for name in [*names.split(), HOSTILE.replace("&", "")]:
        checked(f"{target}?{name}={quote(HOSTILE)}", FakeServerView())


@pytest.mark.parametrize("target", [*TARGETS, "/flags/hostile", "/flags/save_series"])
def test_forms_are_text(target: str) -> None:
    expose_hostile()
    header = HttpHeaders({"X-Pybrpc-Post": "1", "Cookie": HOSTILE, "User-Agent": HOSTILE})
    body = f"value={quote(HOSTILE)}&{quote(HOSTILE)}=1".encode()
    checked(target, FakeServerView(), "POST", headers=header, body=body)


def test_the_name_of_a_page_that_is_not_there_is_text() -> None:
    assert "alert" in checked(f"/{HOSTILE}", FakeServerView())


def test_methods_are_text() -> None:
    checked("/vars", FakeServerView(), HOSTILE)


@pytest.mark.parametrize("target", TARGETS)
def test_no_page_shows_the_credentials_of_its_request(target: str) -> None:
    headers = HttpHeaders({"Authorization": "Bearer s3cr3t", "Cookie": "id=s3cr3t"})
    for is_html in (False, True):
        request = request_of(target, wants_html=is_html, headers=headers)
        assert b"s3cr3t" not in run_page(request, FakeServerView()).body_bytes()
