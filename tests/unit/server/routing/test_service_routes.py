"""ServiceRoutes: the methods of one service and their restful paths."""

from __future__ import annotations

import pytest

from pybrpc.server.routing.service_routes import ServiceRoutes
from pybrpc.server.routing.values import Route
from tests.fakes.routed_services import make_service

SERVICE = make_service("p.S", ["Get", "Watch", "default_method"], streams=("Watch",))


def make_routes(mappings: str = "", *names: str, allow_default_url: bool = False) -> ServiceRoutes:
    return ServiceRoutes(SERVICE, dict.fromkeys(names, 1), mappings, allow_default_url)


def test_method_is_named_by_the_second_component() -> None:
    routes = make_routes("", "Get")
    assert routes.resolve(["S", "Get", "x"]) == ("Get", 2)
    assert routes.resolve(["S", "get"]) is None
    assert routes.resolve(["S"]) is None


def test_default_method_is_that_of_all_other_paths() -> None:
    routes = make_routes("", "Get", "default_method")
    assert routes.resolve(["S", "Get"]) == ("Get", 2)
    assert routes.resolve(["S", "x"]) == ("default_method", 1)
    assert routes.resolve(["S"]) == ("default_method", 1)


def test_mapped_method_has_no_default_url_unless_allowed() -> None:
    assert make_routes("/v1 => Get", "Get", "Watch").by_name == {"Watch": Route(1)}
    allowed = make_routes("/v1 => Get", "Get", allow_default_url=True)
    assert allowed.by_name == {"Get": Route(1)}


def test_signatures_are_those_of_all_methods() -> None:
    assert make_routes("", "Get").signatures() == (
        "rpc Get (Request) returns (Response);",
        "rpc Watch (Request) returns (stream Response);",
        "rpc default_method (Request) returns (Response);",
    )


def test_paths_of_a_method_are_in_the_order_of_the_mappings() -> None:
    routes = make_routes("/b => Get, /c => Watch, GET /a => Get", "Get", "Watch")
    assert [str(path) for path in routes.paths_of("Get")] == ["/b", "GET /a"]
    assert routes.paths_of("default_method") == []
    assert repr(routes) == "<ServiceRoutes p.S, 3 restful paths>"


@pytest.mark.parametrize(
    ("mappings", "why"),
    [
        ("/a => Nothing", "/a: p.S has no method Nothing"),
        ("/a => Get => Get", "has no method Get => Get"),
        ("/a => Watch", "/a: p.S.Watch is not served"),
        ("GET /a/{x} => Get", "GET /a/{x}: p.Request has no field 'x' to capture"),
    ],
)
def test_mapping_that_fits_no_method_is_refused(mappings: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make_routes(mappings, "Get")
