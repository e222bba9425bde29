"""RestfulPath: patterns in their normal form, and the errors for text that is none."""

from __future__ import annotations

import pytest

from pybrpc.server.routing.restful_path import (
    RestfulMapping,
    RestfulPath,
    parse_restful_mappings,
    parse_restful_path,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/v1/echo", RestfulPath(None, "v1", ("echo",))),
        ("v1/echo", RestfulPath(None, "v1", ("echo",))),
        ("//v1///echo// ", RestfulPath(None, "v1", ("echo",))),
        ("/v1", RestfulPath(None, "v1", ())),
        ("/v1.0/a", RestfulPath(None, "v1.0", ("a",))),
        ("/", RestfulPath(None, "", ())),
        ("*", RestfulPath(None, "", (), "/")),
        ("/*", RestfulPath(None, "", (), "/")),
        ("*.flv", RestfulPath(None, "", (), ".flv/")),
        ("*/a//b", RestfulPath(None, "", (), "/a/b/")),
        ("/v1/*", RestfulPath(None, "v1", (), "/")),
        ("/v1/a/*/start", RestfulPath(None, "v1", ("a",), "/start/")),
        ("/v1/*.mp4", RestfulPath(None, "v1", (), ".mp4/")),
        ("/v1/é%2F..", RestfulPath(None, "v1", ("é%2F..",))),
        ("GET /v1/a", RestfulPath("GET", "v1", ("a",))),
        ("M-SEARCH \t v1/a", RestfulPath("M-SEARCH", "v1", ("a",))),
        ("GET *", RestfulPath("GET", "", (), "/")),
        ("GET", RestfulPath(None, "GET", ())),
        ("/v1/{id}", RestfulPath(None, "v1", (None,), None, ("id",))),
        ("/{a}/v1/{b.c}/*", RestfulPath(None, "", (None, "v1", None), "/", ("a", "b.c"))),
    ],
)
def test_path_is_parsed_into_its_normal_form(text: str, path: RestfulPath) -> None:
    assert parse_restful_path(text) == path
    assert parse_restful_path(str(path)) == path


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("/v1/ echo", "has a blank inside"),
        ("get /v1", "must have GET in capitals"),
        ("GET /v1 /a", "' '"),
        ("/v1?a", r"'\?'"),
        ("/v1#a", "'#'"),
        ("/v1\0", r"x00"),
        ("/v1\ud800", "ud800"),
        ("/v1/*/*", r"more than one \*"),
        ("abc*", r"text directly before \*"),
        ("abc/def*", r"text directly before \*"),
        ("/v1/{a}*", r"text directly before \*"),
        ("/v1/{*}", r"text directly before \*"),
        ("/v1/a{b}", "brace"),
        ("/v1/{}", "brace"),
        ("/v1/{", "brace"),
        ("/v1/{{a}}", "brace"),
        ("/v1}/a", "brace"),
        ("/v1/*/{a}", "brace"),
        ("/v1/{a}/{a}", "captures a field twice"),
    ],
)
def test_text_that_is_no_path_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_restful_path(text)


def test_error_shows_a_long_path_in_part() -> None:
    with pytest.raises(ValueError, match="more than one") as caught:
        parse_restful_path("/*" * 5000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "mappings"),
    [
        ("", []),
        (" \n", []),
        ("/a => A", ["/a => A"]),
        ("/a=>A,b===>B,", ["/a => A", "/b => B"]),
        (" ,, /a => A ,\n /b => B , ", ["/a => A", "/b => B"]),
        ("/a=b=>A", ["/a=b => A"]),
        ("= => A", ["/= => A"]),
        ("GET /a/{b}/* => A", ["GET /a/{b}/* => A"]),
        ("/a => A => B", ["/a => A => B"]),
    ],
)
def test_mappings_are_parsed(text: str, mappings: list[str]) -> None:
    assert [str(mapping) for mapping in parse_restful_mappings(text)] == mappings


def test_mapping_has_a_path_and_a_method() -> None:
    path = RestfulPath("GET", "v1", ("a",))
    assert parse_restful_mappings("GET /v1/a => Echo") == [RestfulMapping(path, "Echo")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (",", "has no PATH => METHOD"),
        ("/a", "must be PATH => METHOD"),
        ("/a = A", "must be PATH => METHOD"),
        ("/a =>", "no method behind the arrow"),
        ("/a => ,/b => B", "no method behind the arrow"),
        ("/a => A, ,/b => B", "must be PATH => METHOD"),
        (" => A", "is empty"),
        ("=" * 100_000, "must be PATH => METHOD"),
    ],
)
def test_text_that_is_no_mapping_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_restful_mappings(text)


def test_mappings_are_a_string() -> None:
    with pytest.raises(TypeError, match="restful_mappings must be a string"):
        parse_restful_mappings(["/a => A"])  # type: ignore[arg-type]
