"""Captures: fields that a path can set, and texts from components."""

from __future__ import annotations

import pytest

from pybrpc.server.routing.captures import captured_text, check_capture
from tests.fakes.routed_services import make_service

REQUEST = make_service("p.S", ["M"]).methods[0].input_type


@pytest.mark.parametrize("name", ["id", "tags", "inner.id", "inner.deeper.id", "a-b"])
def test_field_of_a_text_can_be_captured(name: str) -> None:
    check_capture(name, REQUEST)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "p.Request has no field 'nothing'"),
        ("inner.nothing", "p.Inner has no field 'nothing'"),
        ("a_Z045_b", "no field"),
        ("inner", "p.Request.inner, a message"),
        ("many", "a message"),
        ("many.id", "p.Request.many, which is not one message"),
        ("id.id", "p.Request.id, which is not one message"),
        ("inner.", "no field ''"),
        (".id", "no field ''"),
        ("inner." + "deeper." * 200_000 + "id", "too many messages"),
    ],
)
def test_capture_that_no_text_can_set_is_refused(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_capture(name, REQUEST)


@pytest.mark.parametrize(
    ("component", "text"),
    [
        ("abc", "abc"),
        ("a%20b+c", "a b+c"),
        ("%2F..%2f%00", "/../\0"),
        ("%C3%A9", "é"),
        ("é", "é"),
        ("\udcc3\udca9", "é"),
        ("\udcc3%A9", "é"),
        ("%", "%"),
        ("%zz%4", "%zz%4"),
        ("%2541", "%41"),
    ],
)
def test_component_is_percent_decoded_once(component: str, text: str) -> None:
    assert captured_text(component) == text


@pytest.mark.parametrize("component", ["%ff", "%C3", "\udcff", "%ED%A0%80", "a\ud800", "%C0%AF"])
def test_component_that_is_no_utf8_is_a_unicode_error(component: str) -> None:
    with pytest.raises(UnicodeError):
        captured_text(component)
