"""Which method, or which page, the path of an HTTP request means.

It does no I/O and knows neither calls nor connections: what a path leads to is an object of the
caller's choice. Rules: docs/en/http_service.md of bRPC, and FindMethodPropertyByURI in
src/brpc/policy/http_rpc_protocol.cpp.
"""

from pybrpc.server.routing.restful_path import (
    RestfulMapping,
    RestfulPath,
    parse_restful_mappings,
    parse_restful_path,
)
from pybrpc.server.routing.routes import Routes
from pybrpc.server.routing.values import NotFound, PageRoute, Route

__all__ = [
    "NotFound",
    "PageRoute",
    "RestfulMapping",
    "RestfulPath",
    "Route",
    "Routes",
    "parse_restful_mappings",
    "parse_restful_path",
]
