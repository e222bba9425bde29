"""Routes: services, pages and restful paths together."""

from __future__ import annotations

import pytest

from pybrpc.errors import ErrorCode, ServerStateError
from pybrpc.server.routing import NotFound, PageRoute, Route, Routes
from tests.fakes.routed_services import make_service

PAGES = ("index", "status", "vars")
ECHO = make_service("p.Echo", ["Echo", "Echo2"])
ENTRIES = {"Echo": "echo", "Echo2": "echo2"}
OTHER = make_service("q.Other", ["Get", "default_method"])


def make_routes(mappings: str = "", allow_default_url: bool = False) -> Routes:
    routes = Routes(PAGES)
    routes.add_service(ECHO, ENTRIES, mappings, allow_default_url)
    return routes


def not_found(routes: Routes, path: str, http_method: str = "POST") -> NotFound:
    found = routes.find(http_method, path)
    assert isinstance(found, NotFound)
    return found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/Echo/Echo", Route("echo")),
        ("/p.Echo/Echo2", Route("echo2")),
        ("Echo/Echo", Route("echo")),
        ("//Echo///Echo//", Route("echo")),
        ("/Echo/Echo/a//b/", Route("echo", "a/b")),
        ("/Echo/Echo/../x%2F", Route("echo", "../x%2F")),
        ("", PageRoute("index")),
        ("///", PageRoute("index")),
        ("/index", PageRoute("index")),
        ("/vars/a//b*/", PageRoute("vars", "a/b*")),
        ("/brpc.vars/$*", PageRoute("vars", "$*")),
    ],
)
def test_path_means_a_method_or_a_page(path: str, found: Route | PageRoute) -> None:
    assert make_routes().find("POST", path) == found
    assert make_routes().find("GET", path) == found


@pytest.mark.parametrize(
    "path",
    [
        "/echo/Echo",
        "/Echo/echo",
        "/Echo/Nothing",
        "/q.Echo/Echo",
        "/Echo%2FEcho",
        "/%45cho/Echo",
        "/Echo /Echo",
        "/./Echo/Echo",
        "/Echo/../Echo",
        "/Echo\0/Echo",
        "/\udcff/Echo",
        "/Status",
        "/brpc.brpc.status",
        "/" * 3 + "a/" * 100_000,
        "/Echo/" + "x" * 1_000_000,
    ],
)
def test_names_are_compared_as_they_are_sent(path: str) -> None:
    found = not_found(make_routes(), path)
    assert (found.status, found.code) == (404, ErrorCode.ENOMETHOD)
    assert found.text.startswith("Fail to find method on `/")
    assert len(found.text) < 5000


def test_service_without_a_method_lists_its_methods() -> None:
    for path in ("/Echo", "/Echo//"):
        found = not_found(make_routes("* => Echo"), path)
        assert (found.status, found.code) == (404, ErrorCode.ENOMETHOD)
        assert found.text.startswith("Missing method name for service=Echo. Available methods are:")
        assert len(found.methods) == 2
    assert "service=p.Echo." in not_found(make_routes(), "/p.Echo").text


def test_default_method_gets_what_no_other_method_has() -> None:
    routes = Routes()
    routes.add_service(OTHER, {"Get": "get", "default_method": "default"})
    assert routes.find("GET", "/Other") == Route("default")
    assert routes.find("GET", "/q.Other/x//y") == Route("default", "x/y")
    assert routes.find("GET", "/Other/Get/y") == Route("get", "y")
    assert routes.find("GET", "/Other/default_method/y") == Route("default", "y")


def test_mapped_default_method_is_not_found_at_its_default_url() -> None:
    routes = Routes()
    routes.add_service(OTHER, {"default_method": "default"}, "/v1/* => default_method")
    assert not_found(routes, "/Other/x").status == 404
    assert routes.find("GET", "/v1/x") == Route("default", "x", pattern="/v1/*")


def test_without_pages_the_index_is_a_path_as_any_other() -> None:
    routes = Routes()
    assert not_found(routes, "/").text == "Fail to find method on `/'"
    routes.add_service(ECHO, ENTRIES, "/ => Echo, * => Echo2")
    assert routes.find("GET", "/") == Route("echo", pattern="/")
    assert routes.find("GET", "/status") == Route("echo2", "status", pattern="/*")


def test_paths_of_several_services_may_share_their_first_component() -> None:
    routes = make_routes("/v1/echo => Echo")
    routes.add_service(OTHER, {"Get": "get"}, "/v1/* => Get")
    assert routes.find("POST", "/v1/echo/") == Route("echo", pattern="/v1/echo")
    assert routes.find("POST", "/v1/echo/x") == Route("get", "echo/x", pattern="/v1/*")


def test_http_method_chooses_among_paths() -> None:
    routes = make_routes("GET /v1/a => Echo, /v1/a => Echo2, POST /v1/b => Echo, PUT *.b => Echo2")
    assert routes.find("GET", "/v1/a") == Route("echo", http_method="GET", pattern="/v1/a")
    assert routes.find("HEAD", "//v1/a") == Route("echo", http_method="GET", pattern="/v1/a")
    assert routes.find("PUT", "/v1/a") == Route("echo2", pattern="/v1/a")
    found = not_found(routes, "/v1/b", "GET")
    assert (found.status, found.code, found.allow) == (405, ErrorCode.ENOMETHOD, ("POST",))
    assert not_found(routes, "/v1/c", "GET").status == 404
    assert not_found(routes, "/x.b", "DELETE").allow == ("PUT",)


def test_path_for_any_http_method_may_be_added_before_one_for_get() -> None:
    routes = make_routes("/v1/a => Echo2")
    routes.add_service(OTHER, {"Get": "get"}, "GET /v1/a => Get")
    assert routes.find("GET", "/v1/a") == Route("get", http_method="GET", pattern="/v1/a")
    assert routes.find("PUT", "/v1/a") == Route("echo2", pattern="/v1/a")
    routes.remove_service(OTHER)
    assert routes.find("GET", "/v1/a") == Route("echo2", pattern="/v1/a")


def test_captures_are_percent_decoded() -> None:
    routes = make_routes("/v1/{id}/x/{inner.id}/* => Echo, GET /{name}/y => Echo2")
    assert routes.find("POST", "/v1/%2f/x//é/z%20/") == Route(
        "echo", "z%20", (("id", "/"), ("inner.id", "é")), pattern="/v1/{id}/x/{inner.id}/*"
    )
    assert routes.find("GET", "/%00../y") == Route(
        "echo2", captures=(("name", "\0.."),), http_method="GET", pattern="/{name}/y"
    )


def test_capture_that_is_no_utf8_is_a_bad_request() -> None:
    found = not_found(make_routes("/v1/{id} => Echo"), "/v1/%ff")
    assert (found.status, found.code) == (400, ErrorCode.EREQUEST)
    assert not_found(make_routes("/{id} => Echo"), "/\udcff").status == 400


@pytest.mark.parametrize(
    ("mappings", "why"),
    [
        ("/status/hello => Echo", "/status/hello is that of a builtin page"),
        ("/brpc.status => Echo", "builtin page"),
        ("GET /index/x => Echo", "builtin page"),
        ("/ => Echo", "/ is that of a builtin page"),
        ("/Echo/echo => Echo", "begins with the name of a service, /Echo"),
        ("/p.Echo => Echo", "begins with the name of a service, /p.Echo"),
        ("/Other/x => Echo", "begins with the name of a service, /Other"),
        ("/v1 => Echo, v1/ => Echo2", "/v1 is mapped already, to p.Echo.Echo"),
        ("/v1/{id} => Echo, /v1/{name} => Echo2", "mapped already, to p.Echo.Echo"),
        ("GET * => Echo, GET /* => Echo", "mapped already"),
        ("/v2/x => Echo", "/v2/x is mapped already, to q.Other.Get"),
        ("/a => Nothing", "has no method"),
        ("/a", "must be PATH => METHOD"),
    ],
)
def test_service_with_a_wrong_mapping_adds_nothing(mappings: str, why: str) -> None:
    routes = Routes(PAGES)
    routes.add_service(OTHER, {"Get": "get"}, "/v2/x => Get")
    with pytest.raises(ValueError, match=why):
        routes.add_service(ECHO, ENTRIES, f"/v9 => Echo, {mappings}")
    assert repr(routes) == "<Routes q.Other>"
    assert not_found(routes, "/v9").status == not_found(routes, "/Echo/Echo").status == 404
    routes.add_service(ECHO, ENTRIES, "/v9 => Echo")
    assert routes.find("GET", "/v9") == Route("echo", pattern="/v9")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("p.Echo", "has the name of p.Echo, which was added already"),
        ("z.Echo", "has the name of p.Echo"),
        ("z.status", "has the name of the builtin page /status"),
        ("brpc.vars", "has the name of the builtin page /brpc.vars"),
        ("z.v1", "has the name of the first component of restful paths"),
    ],
)
def test_service_whose_name_is_taken_is_refused(name: str, why: str) -> None:
    routes = make_routes("/v1 => Echo")
    with pytest.raises(ServerStateError, match=why):
        routes.add_service(make_service(name, ["M"]), {"M": 1})
    assert repr(routes) == "<Routes p.Echo>"


def test_removed_service_leaves_no_path() -> None:
    routes = make_routes("/v1/a => Echo, *.x => Echo2", allow_default_url=True)
    routes.add_service(OTHER, {"Get": "get"}, "/v1/b => Get")
    routes.remove_service(ECHO)
    for path in ("/v1/a", "/a.x", "/Echo/Echo", "/p.Echo/Echo", "/Echo"):
        assert not_found(routes, path).text == f"Fail to find method on `{path}'"
    assert routes.find("GET", "/v1/b") == Route("get", pattern="/v1/b")
    with pytest.raises(ServerStateError, match=r"service p\.Echo was not added"):
        routes.remove_service(ECHO)
    routes.add_service(make_service("z.Echo", ["Echo"]), {"Echo": "z"}, "/v1/a => Echo")
    assert routes.find("GET", "/v1/a") == Route("z", pattern="/v1/a")
    assert repr(Routes()) == "<Routes empty>"


def test_urls_of_a_method_are_its_restful_paths() -> None:
    routes = make_routes("/v1/a => Echo, GET v1//{id} => Echo, *.x => Echo")
    urls = ("/v1/a", "GET /v1/{id}", "/*.x")
    assert routes.urls_of("p.Echo", "Echo") == routes.urls_of("Echo", "Echo") == urls
    assert routes.urls_of("p.Echo", "Echo2") == routes.urls_of("Nothing", "Echo") == ()


def test_flag_for_default_urls_is_checked() -> None:
    with pytest.raises(TypeError, match="allow_default_url must be True or False"):
        Routes().add_service(ECHO, ENTRIES, "", allow_default_url="no")  # type: ignore[arg-type]
