"""Restful paths are parsed and matched as by C++ bRPC, and by the rules of those that we add."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.server.routing import NotFound, PageRoute, Route, Routes
from pybrpc.server.routing.captures import captured_text
from pybrpc.server.routing.restful_map import RestfulMap
from pybrpc.server.routing.restful_path import RestfulPath, parse_restful_path
from tests.fakes.routed_services import make_service
from tests.oracles.restful import CppRestfulMap, cpp_form, cpp_parse_path, slow_find

COMPONENTS = st.sampled_from(("a", "b", "ab", "a.x", ".x", "é", "%2F", ".."))
SUFFIXES = st.sampled_from(("/", ".x/", "x/", "b/", "/b/", "/a/b/", "a/b/", "a.x/", "/a.x/"))
PATHS = st.lists(COMPONENTS, max_size=5)
HTTP_METHODS = st.sampled_from((None, "GET", "POST", "HEAD"))

PLAIN_PATTERNS = st.builds(
    RestfulPath,
    st.none(),
    st.just("v1"),
    st.lists(COMPONENTS, max_size=3).map(tuple),
    st.none() | SUFFIXES,
)


@st.composite
def patterns(draw: st.DrawFn) -> RestfulPath:
    """Any pattern below /v1, with captures named f0, f1..."""
    prefix = tuple(draw(st.lists(st.none() | COMPONENTS, max_size=4)))
    names = tuple(f"f{index}" for index in range(prefix.count(None)))
    return RestfulPath(draw(HTTP_METHODS), "v1", prefix, draw(st.none() | SUFFIXES), names)


def key_of(path: RestfulPath) -> object:
    return path.http_method, path.prefix, path.suffix


def map_of(paths: list[RestfulPath]) -> RestfulMap:
    found = RestfulMap("v1")
    for path in paths:
        found.add(path, path)
    return found


@given(st.text(alphabet="/*ab. é#=%\x7f", max_size=12))
def test_path_is_parsed_as_by_bRPC(text: str) -> None:
    wanted = cpp_parse_path(text)
    if wanted is None:
        with pytest.raises(ValueError, match="restful path"):
            parse_restful_path(text)
    else:
        assert cpp_form(parse_restful_path(text)) == wanted


@given(patterns())
def test_pattern_is_parsed_from_its_own_text(path: RestfulPath) -> None:
    assert parse_restful_path(str(path)) == path


@given(st.text(max_size=20))
def test_text_is_a_path_or_a_value_error(text: str) -> None:
    try:
        path = parse_restful_path(text)
    except ValueError:
        return
    assert parse_restful_path(str(path)) == path


@given(st.lists(PLAIN_PATTERNS, min_size=1, max_size=12, unique=True), PATHS)
def test_pattern_is_found_as_by_bRPC(paths: list[RestfulPath], components: list[str]) -> None:
    wanted = CppRestfulMap([cpp_form(path) for path in paths]).find("/".join(components))
    match = map_of(paths).find("POST", components, set())
    found = None if match is None else (cpp_form(match.target.path), match.unresolved_path)
    assert found == wanted


@given(
    st.lists(patterns(), max_size=12, unique_by=key_of),
    st.sampled_from(("GET", "HEAD", "POST", "PUT")),
    PATHS,
)
def test_pattern_is_found_by_the_order_of_the_rules(
    paths: list[RestfulPath], http_method: str, components: list[str]
) -> None:
    allow: set[str] = set()
    match = map_of(paths).find(http_method, components, allow)
    wanted = slow_find(paths, http_method, components)
    if match is None:
        assert allow == wanted
    else:
        assert (match.target.path, match.unresolved_path) == wanted


@given(st.lists(patterns(), max_size=8, unique_by=key_of), st.sampled_from(("GET", "HEAD")), PATHS)
def test_usual_form_of_a_path_means_the_same_as_any_other(
    paths: list[RestfulPath], http_method: str, components: list[str]
) -> None:
    """The usual form may be looked up as it is, other ones are split."""
    routes = Routes()
    fixed = [path for path in paths if not path.captures]
    names = [f"M{index}" for index in range(len(fixed))]
    if names:
        text = ",".join(f"{path} => {name}" for path, name in zip(fixed, names, strict=True))
        routes.add_service(make_service("p.S", names), dict.fromkeys(names, 1), text)
    url = "/v1" + "".join(f"/{component}" for component in components)
    usual, unusual = (routes.find(http_method, each) for each in (url, url.replace("/", "//")))
    if isinstance(usual, NotFound):
        assert isinstance(unusual, NotFound)
        assert (usual.status, usual.allow) == (unusual.status, unusual.allow)
    else:
        assert usual == unusual


ROUTES = Routes(pages=("index", "status"))
ROUTES.add_service(make_service("p.Echo", ["Echo"]), {"Echo": 1})
ROUTES.add_service(
    make_service("p.Files", ["Get", "Put"]),
    {"Get": 2, "Put": 3},
    "/v1/{id}/* => Get, PUT /v1/{inner.id} => Put, *.flv => Get, /v2/*/end => Get",
)


@given(
    st.text(max_size=12),
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            (
                "",
                "v1",
                "v2",
                "Echo",
                "p.Echo",
                "x.flv",
                "end",
                "%2f",
                "%ff",
                "\udcff",
                "\ud800",
                "\0",
                "..",
                "status",
            )
        ),
        max_size=6,
    ).map("/".join),
)
def test_any_path_has_a_result(http_method: str, path: str) -> None:
    found = ROUTES.find(http_method, path)
    if isinstance(found, NotFound):
        assert found.status in (400, 404, 405)
        assert (found.status == 405) == bool(found.allow)
        found.text.encode()
    else:
        left = found.unresolved_path
        assert isinstance(found, Route | PageRoute)
        assert "//" not in left
        assert left in "".join(f"{component}/" for component in path.split("/") if component)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_captured_text_is_the_one_that_was_quoted(text: str) -> None:
    assert captured_text(quote(text, safe="")) == text
