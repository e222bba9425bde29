"""bRPC's own tests of routing.

test/brpc_server_unittest.cpp: various_forms_of_uri_paths, restful_mapping,
conflict_name_between_restful_mapping_and_builtin, restful_mapping_is_tried_after_others,
services_in_different_ns (its names); test/brpc_http_message_unittest.cpp:
find_method_property_by_uri. Paths are what URI makes of the ones in these tests. A conflict with a
page is found when the service is added, not at the start of the server.
"""

from __future__ import annotations

import pytest

from pybrpc.errors import ServerStateError
from pybrpc.protocols.http1 import URI, UriError
from pybrpc.server.routing import NotFound, PageRoute, Route, Routes
from tests.fakes.routed_services import make_service

METHODS = ["Echo", "Echo2", "Echo3", "Echo4", "Echo5"]
ENTRIES = {name: name for name in METHODS}
V1 = make_service("v1.EchoService", METHODS)
V2 = make_service("v2.EchoService", METHODS)
PAGES = ("index", "status", "flags")

MAPPINGS = (
    "/v1/echo/ => Echo,"
    # Map another path to the same method is ok.
    "/v3/echo => Echo,"
    # end with wildcard
    "/v2/echo/* => Echo,"
    # single-component path should be OK
    "/v4_echo => Echo,"
    # heading slash can be ignored
    " v5/echo => Echo,"
    # with or without wildcard can coexist.
    " /v6/echo => Echo,"
    " /v6/echo/* => Echo2,"
    " /v6/abc/*/def => Echo3,"
    " /v6/echo/*.flv => Echo4,"
    " /v6/*.flv => Echo5,"
    " *.flv => Echo,"
)


def make_routes(mappings: str = "", allow_default_url: bool = False) -> Routes:
    routes = Routes(PAGES)
    routes.add_service(V1, ENTRIES, mappings, allow_default_url)
    return routes


def find(routes: Routes, url: str) -> str:
    """The method or page, with the unresolved path; or "none"."""
    found = routes.find("POST", URI(url).path)
    if isinstance(found, NotFound):
        assert found.status == 404
        return "none"
    name = found.entry if isinstance(found, Route) else found.name
    return f"{name} {found.unresolved_path}".strip()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/EchoService/Echo", "Echo"),
        ("/EchoService///Echo//", "Echo"),
        ("/EchoService/Echo/Foo", "Echo Foo"),
        ("/v1.EchoService/Echo", "Echo"),
    ],
)
def test_various_forms_of_uri_paths(url: str, found: str) -> None:
    assert find(make_routes(), url) == found


def test_various_forms_of_uri_paths_have_no_blank_inside() -> None:
    with pytest.raises(UriError):
        URI("/EchoService /Echo/")
    assert isinstance(make_routes().find("POST", "/EchoService /Echo/"), NotFound)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/EchoService/Echo", "none"),
        ("/v1/echo", "Echo"),
        ("/v3/echo", "Echo"),
        (" //v1///echo////  ", "Echo"),
        ("/v3/echo/anything", "none"),
        ("/v2/echo", "Echo"),
        ("/v2/echo/anything", "Echo anything"),
        ("/v4_echo", "Echo"),
        ("/v5/echo", "Echo"),
        ("/v6/echo", "Echo"),
        ("/v6/echo/test", "Echo2 test"),
        ("/v6/abc/heheda/def", "Echo3 heheda"),
        ("/v6/abc/def", "Echo3"),
        ("/v6/abc/heheda/def2", "none"),
        ("/v6/echo/1.flv", "Echo4 1"),
        ("//v6//d.flv//", "Echo5 d"),
        ("//d.flv//", "Echo d"),
        ("/v7/e.flv", "Echo v7/e"),
        ("/v0/f.flv", "Echo v0/f"),
        ("/v6/ech/1.ts", "none"),
    ],
)
def test_restful_mapping(url: str, found: str) -> None:
    assert find(make_routes(MAPPINGS), url) == found


@pytest.mark.parametrize(
    "mappings",
    [
        pytest.param("/v1/echo => Echo,/v1/echo => Echo", id="duplicated path"),
        pytest.param("/v1/echo => UnexistMethod", id="invalid method name"),
        pytest.param("/v1/ echo => Echo", id="invalid path"),
        pytest.param("  => Echo", id="empty path"),
        pytest.param(" abc* => Echo", id="disabled pattern"),
        pytest.param(" abc/def* => Echo", id="disabled pattern in a later component"),
        pytest.param(" /v1/*/* => Echo", id="more than one wildcard"),
    ],
)
def test_restful_mapping_that_is_invalid_is_refused(mappings: str) -> None:
    routes = Routes(PAGES)
    with pytest.raises(ValueError, match="restful path"):
        routes.add_service(V1, ENTRIES, mappings)
    assert find(routes, "/EchoService/Echo") == "none"


def test_restful_mapping_with_and_without_wildcard_can_coexist() -> None:
    routes = make_routes("/v1/echo/* => Echo2,/v1/echo   => Echo")
    assert find(routes, "/v1/echo") == "Echo"
    assert find(routes, "/v1/echo/") == "Echo"
    assert find(routes, "/v1/echo/x") == "Echo2 x"


def test_restful_mapping_does_not_allow_services_of_the_same_name() -> None:
    routes = make_routes("/v1/echo => Echo")
    with pytest.raises(ServerStateError, match=r"v1\.EchoService"):
        routes.add_service(V2, ENTRIES, "/v2/echo => Echo")
    assert find(routes, "/v2/echo") == "none"


def test_restful_mapping_with_default_url() -> None:
    routes = make_routes("/v1/echo => Echo", allow_default_url=True)
    assert find(routes, "/v1/echo") == "Echo"
    assert find(routes, "/EchoService/Echo") == "Echo"


def test_restful_mapping_is_removed_with_its_service() -> None:
    routes = make_routes(MAPPINGS)
    routes.remove_service(V1)
    assert [find(routes, url) for url in ("/v1/echo", "//d.flv//")] == ["none", "none"]


def test_conflict_name_between_restful_mapping_and_builtin() -> None:
    with pytest.raises(ValueError, match="builtin page"):
        make_routes("/status/hello => Echo")


def test_restful_mapping_is_tried_after_others() -> None:
    routes = make_routes("* => Echo")
    assert find(routes, "/status") == "status"
    assert find(routes, "/EchoService/Echo") == "none"
    assert find(routes, "/non_exist") == "Echo non_exist"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", PageRoute("index")),
        ("/", PageRoute("index")),
        ("//", PageRoute("index")),
        ("flags", PageRoute("flags")),
        ("/flags/port", PageRoute("flags", "port")),
        ("/flags/foo/bar", PageRoute("flags", "foo/bar")),
        ("/brpc.flags/$*", PageRoute("flags", "$*")),
        ("EchoService/Echo", Route("Echo")),
        ("/EchoService/Echo", Route("Echo")),
        ("/v1.EchoService/Echo", Route("Echo")),
    ],
)
def test_find_method_property_by_uri(path: str, found: Route | PageRoute) -> None:
    assert make_routes().find("POST", path) == found


def test_find_method_property_by_uri_of_an_unknown_method() -> None:
    assert find(make_routes(), "/v1.EchoService/no_such_method") == "none"
