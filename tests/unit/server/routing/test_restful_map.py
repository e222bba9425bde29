"""RestfulMap: which of several patterns is found. tests/property/test_routing.py has the models."""

from __future__ import annotations

import pytest

from pybrpc.server.routing.restful_map import RestfulMap
from pybrpc.server.routing.restful_path import parse_restful_path


def found_in(patterns: list[str], path: str, http_method: str = "POST") -> str:
    """The pattern that is found, with its unresolved path; or the methods to allow."""
    restful_map = RestfulMap("v1")
    for pattern in patterns:
        parsed = parse_restful_path(pattern.replace("/", "/v1/", 1))
        restful_map.add(parsed, pattern)
    allow: set[str] = set()
    match = restful_map.find(http_method, [part for part in path.split("/") if part], allow)
    if match is None:
        return f"none, {sorted(allow)}"
    return f"{match.target.entry} {match.unresolved_path}".strip()


@pytest.mark.parametrize(
    ("patterns", "path", "found"),
    [
        (["/*", "/a/*", "/a/b/*"], "/a/b/c", "/a/b/* c"),
        (["/*", "/a/*", "/a/b/*"], "/a/c/d", "/a/* c/d"),
        (["/a", "/a/*"], "/a", "/a"),
        (["/a", "/a/*"], "/a/b", "/a/* b"),
        (["/a/*"], "/a", "/a/*"),
        (["/*", "/*.x", "/*b.x"], "/ab.x", "/*b.x a"),
        (["/*", "/*.x", "/*b.x"], "/a.x", "/*.x a"),
        (["/*/b", "/a/*"], "/a/b", "/a/* b"),
        (["/*b"], "/a/b", "/*b a/"),
        (["/a/*/b"], "/a/b", "/a/*/b"),
        (["/a/*/a"], "/a", "none, []"),
        (["/a"], "/a/b", "none, []"),
        (["/a/b"], "/a", "none, []"),
        ([], "/a", "none, []"),
    ],
)
def test_longest_prefix_is_found_then_exact_then_longest_suffix(
    patterns: list[str], path: str, found: str
) -> None:
    assert found_in(patterns, path) == found
    assert found_in(patterns[::-1], path) == found


@pytest.mark.parametrize(
    ("patterns", "path", "found"),
    [
        (["/a", "/{f}"], "/a", "/a"),
        (["/a", "/{f}"], "/b", "/{f}"),
        (["/a/*", "/{f}"], "/a", "/a/*"),
        (["/{f}/*", "/{f}"], "/a", "/{f}"),
        (["/a/*", "/{f}/b"], "/a/b", "/{f}/b"),
        (["/a/{f}", "/{f}/b"], "/a/b", "/a/{f}"),
        (["/*", "/{f}"], "/a", "/{f}"),
        (["/{f}"], "/", "none, []"),
        (["/{f}"], "/a/b", "none, []"),
        (["/a/x", "/{f}/b"], "/a/b", "/{f}/b"),
    ],
)
def test_fixed_component_is_found_before_a_capture(
    patterns: list[str], path: str, found: str
) -> None:
    assert found_in(patterns, path) == found
    assert found_in(patterns[::-1], path) == found


@pytest.mark.parametrize(
    ("patterns", "http_method", "found"),
    [
        (["GET /a", "/a"], "GET", "GET /a"),
        (["GET /a", "/a"], "POST", "/a"),
        (["GET /a", "/a"], "HEAD", "GET /a"),
        (["GET /a", "HEAD /a"], "HEAD", "HEAD /a"),
        (["GET /a", "/{f}"], "POST", "/{f}"),
        (["GET /a", "PUT /{f}", "PATCH /*"], "POST", "none, ['GET', 'PATCH', 'PUT']"),
        (["GET /a", "PUT /b"], "POST", "none, ['GET']"),
        (["GET /a"], "get", "none, ['GET']"),
        (["GET /*a", "PUT /*a", "/*"], "PUT", "PUT /*a"),
    ],
)
def test_pattern_for_another_http_method_is_passed_over(
    patterns: list[str], http_method: str, found: str
) -> None:
    assert found_in(patterns, "/a", http_method) == found


def test_nodes_that_a_path_visits_are_those_of_the_patterns_at_most() -> None:
    depth = 20
    restful_map = RestfulMap("v1")
    for place in range(depth):
        parts = ["a"] * depth
        parts[place] = "{f}"
        restful_map.add(parse_restful_path("/v1/" + "/".join(parts)), place)
    visited = sum(map(len, restful_map._levels(["a"] * 10_000)))
    assert visited <= 1 + depth * depth
    assert restful_map.find("GET", ["a"] * 10_000, set()) is None
    match = restful_map.find("GET", ["a"] * depth, set())
    assert match is not None
    assert match.target.entry == depth - 1


def test_repr_tells_the_first_component_and_the_number_of_patterns() -> None:
    restful_map = RestfulMap("v1")
    restful_map.add(parse_restful_path("GET /v1/a"), 1)
    restful_map.add(parse_restful_path("PUT /v1/a"), 2)
    assert len(restful_map) == 2
    assert repr(restful_map) == "<RestfulMap 'v1', 2 patterns>"
    assert repr(RestfulMap("")) == "<RestfulMap '*', 0 patterns>"
