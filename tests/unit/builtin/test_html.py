"""html: markup that escapes whatever comes into it."""

from __future__ import annotations

import pytest

from pybrpc.builtin.html import Html, escaped, join, tag
from tests.fakes.pages import HOSTILE, Markup


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b", tag("b", "&"), class_="x") == '<p class="x">a &lt; b<b>&amp;</b></p>'


@pytest.mark.parametrize("text", [HOSTILE, "\x00\x1b", "\ud800", "a\x85b", "\x7f"])
def test_no_text_becomes_markup(text: str) -> None:
    page = tag("p", text, title=text)
    assert [name for name, _ in Markup(page).elements] == ["p"]
    assert not set(page) & set("\x00\x1b\ud800\x85\x7f")


def test_an_attribute_can_not_be_left_by_a_quote() -> None:
    ((_, attributes),) = Markup(tag("input", value='" onfocus="x')).elements
    assert attributes == {"value": '" onfocus="x'}


def test_a_string_made_of_markup_is_text_again() -> None:
    bold = tag("b", "x")
    assert type(bold + "") is str
    assert tag("p", bold + "<i>") == "<p>&lt;b&gt;x&lt;/b&gt;&lt;i&gt;</p>"


def test_lists_are_flattened_and_none_is_left_out() -> None:
    parts = [["a", [1, 2.5]], None, (tag("br"),)]
    assert join(*parts) == "a12.5<br>"


def test_attributes_without_a_value() -> None:
    assert tag("option", selected=True, title=None, disabled=False) == "<option selected></option>"
    assert tag("td", data_var="x", aria_label="y") == '<td data-var="x" aria-label="y"></td>'


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example", "http://a", "/\\evil", " /a", "data:x", ""]
)
@pytest.mark.parametrize("attribute", ["href", "src", "action"])
def test_urls_of_other_kinds_are_refused(url: str, attribute: str) -> None:
    with pytest.raises(ValueError, match="no page links to"):
        tag("a", **{attribute: url})


def test_plain_text_is_as_it_was() -> None:
    assert escaped("rpc_server_8000: 1.5 a/b-c") == "rpc_server_8000: 1.5 a/b-c"
    assert isinstance(escaped("x"), Html)
