"""layout: the frame of all pages, and the pieces that they are made of."""

from __future__ import annotations

import pytest

from pybrpc.builtin.layout import facts, form, link, path_of, path_text, table, tiles
from pybrpc.builtin.registry import PAGES, run_page
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of


def page(target: str, view: FakeServerView | None = None, **fields: object) -> Markup:
    response = run_page(request_of(target, wants_html=True, **fields), view or FakeServerView())
    return Markup(response.body_bytes().decode())


def tabs(markup: Markup) -> list[tuple[str | None, str | None]]:
    links = [found for name, found in markup.elements if name == "a" and "class" not in found]
    in_bar = [each for each in links if set(each) <= {"href", "aria-current"}]
    known = {"/status", "/vars", "/connections", "/flags", "/index"}
    return [(each["href"], each.get("aria-current")) for each in in_bar if each["href"] in known]


def test_tabs_are_those_of_pages_that_exist() -> None:
    found = tabs(page("/status"))[:5]
    assert [target for target, _ in found] == [
        "/status",
        "/vars",
        "/connections",
        "/flags",
        "/index",
    ]
    assert [target for target, current in found if current] == ["/status"]
    assert all(target[1:] in PAGES for target, _ in found if target)


def test_clients_from_outside_see_the_tabs_of_public_pages() -> None:
    assert [target for target, _ in tabs(page("/version", is_internal=False))] == [
        "/status",
        "/vars",
        "/index",
    ]


def test_pages_without_a_tab_are_under_more() -> None:
    assert ("/index", "page") in tabs(page("/version"))


def test_the_title_has_the_address_of_the_server() -> None:
    assert "Status · 127.0.0.1:8000" in page("/status").text


def test_a_server_that_stops_says_so() -> None:
    view = FakeServerView()
    assert "running" in page("/version", view).text
    view.is_stopping = True
    assert "stopping" in page("/version", view).text


def test_a_phone_is_told_the_width() -> None:
    assert "width=device-width, initial-scale=1" in page("/version").values_of("content")


def test_nothing_comes_from_other_hosts() -> None:
    for name in PAGES:
        markup = page(f"/{name}")
        loaded = [*markup.values_of("src"), *markup.values_of("href")]
        assert not [url for url in loaded if not url.startswith("/") or url.startswith("//")]


def test_a_table_scrolls_and_marks_numbers() -> None:
    found = Markup(table(("a", "b"), [(HOSTILE, 1)], "-n"))
    assert found.values_of("class") == ["scroll", "num", "num"]
    assert HOSTILE in found.text
    assert "Nothing to show" in table(("a",), [])


def test_facts_and_tiles() -> None:
    assert Markup(facts([("a", "1")])).text == "a1"
    assert Markup(tiles([("errors", "2", "bad")])).values_of("class") == ["tiles", "tile", "bad"]


def test_a_form_has_the_token_and_posts() -> None:
    found = Markup(form("/flags/a"))
    assert found.values_of("method") == ["post"]
    assert found.values_of("name") == ["token"]


@pytest.mark.parametrize("text", ["a/b", "ä ?#&", "..", HOSTILE, "a;b,c*$"])
def test_paths_are_encoded_and_decoded(text: str) -> None:
    path = path_of("vars", text)
    assert path.count("/") == 2
    assert path_text(path.removeprefix("/vars/")) == text
    assert Markup(link("x", "vars", text)).values_of("href") == [path]


def test_a_lone_surrogate_has_a_path() -> None:
    assert path_of("\ud800") == "/%3F"
