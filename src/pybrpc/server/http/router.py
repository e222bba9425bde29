"""HttpRouter: finds the method, page or application for a request of HTTP; refuses some."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any, NamedTuple

from pybrpc.errors import ErrorCode
from pybrpc.protocols.http1 import HttpHeaders, RequestHead
from pybrpc.server.http.exchange import HttpExchange, Refusal
from pybrpc.server.http.method_target import MethodTarget
from pybrpc.server.http.page_target import PageRunner, PageTarget
from pybrpc.server.http.request import BodySink, HttpRequest
from pybrpc.server.http.resolved_head import ResolvedHead
from pybrpc.server.http.served import note_served
from pybrpc.server.http_safety import (
    HttpSettings,
    Origins,
    has_own_host,
    is_cross_site,
    is_in,
    is_navigation,
)
from pybrpc.server.routing.routes import INDEX, Routes
from pybrpc.server.routing.values import NotFound, PageRoute, Route

_READS = ("GET", "HEAD")
_NEVER_CALLS = ("OPTIONS", "TRACE", "CONNECT")


class Mount(NamedTuple):
    """An application that answers all paths that begin with `prefix`: "/app"; with "", those that
    nothing else answers."""

    prefix: str
    target: Any
    checks_origin: bool
    checks_credentials: bool


class HttpRouter:
    """The TargetFinder of a running server. In turns."""

    __slots__ = ("_mounts", "_pages", "_root", "_routes", "_settings")

    def __init__(
        self,
        routes: Routes,
        pages: PageRunner,
        settings: HttpSettings,
        mounts: Iterable[Mount] = (),
    ) -> None:
        self._routes = routes
        self._pages = pages
        self._settings = settings
        by_length = sorted(mounts, key=lambda mount: -len(mount.prefix))
        self._mounts = [mount for mount in by_length if mount.prefix]
        self._root = next((mount for mount in by_length if not mount.prefix), None)

    def resolve(self, exchange: HttpExchange, resolved: ResolvedHead) -> None:
        """Find what answers a head. Raises Refusal."""
        head, path = resolved.head, resolved.path
        is_internal_port = exchange.connection.is_internal
        if not self._settings.hosts.allows_all and not is_internal_port:
            self._check_host(resolved)
        mount = None if is_internal_port else self._mount_of(path)
        if mount is not None:
            self._lead_to(mount, resolved)
            return
        resolved.needs_credentials = not is_internal_port
        found = self._routes.find(head.method, path)
        if self._root is not None and not is_internal_port and _is_left_over(found, path):
            self._lead_to(self._root, resolved)
            return
        headers = head.headers
        if "origin" in headers or "sec-fetch-site" in headers:
            self._check_origin(resolved, isinstance(found, PageRoute))
            if _is_preflight(head):
                resolved.needs_credentials = False
                resolved.target = Preflight(self._settings.origins)
                return
        if isinstance(found, PageRoute):
            resolved.rest = found.unresolved_path
            # `cors` opens the methods and the public pages to other sites, not the process itself.
            is_of_other_site = resolved.cors is not None and is_cross_site(headers)
            is_internal = not is_of_other_site and self._is_internal(exchange, headers)
            resolved.target = PageTarget(self._pages, found.name, is_internal)
        elif is_internal_port:
            raise Refusal("Only pages are on the internal port", errno.EPERM, 403)
        elif isinstance(found, NotFound):
            allow = {"Allow": ", ".join(found.allow)} if found.allow else None
            text = f"{exchange.connection.identity}[E{int(found.code)}]{found.text}"
            raise Refusal(text, found.code, found.status, allow)
        else:
            resolved.target = self._method_of(found, resolved)

    def _lead_to(self, mount: Mount, resolved: ResolvedHead) -> None:
        """Have `mount` answer the request. Raises Refusal."""
        resolved.needs_credentials = mount.checks_credentials
        if mount.checks_origin:
            self._check_origin(resolved, False)
            if resolved.cors is not None and _is_preflight(resolved.head):
                resolved.needs_credentials = False
                resolved.target = Preflight(self._settings.origins)
                return
        resolved.rest = resolved.path[len(mount.prefix) :]
        resolved.target = mount.target

    def _mount_of(self, path: str) -> Mount | None:
        for mount in self._mounts:
            prefix = mount.prefix
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                return mount
        return None

    def _method_of(self, route: Route, resolved: ResolvedHead) -> MethodTarget:
        """The method of a route. Raises Refusal if the HTTP method does not call it."""
        target: MethodTarget = route.entry
        http_method = resolved.head.method
        if http_method != "POST" and not _calls(http_method, route, target):
            text = (
                f"{http_method} does not call {target.entry.full_name}: send a POST, map it to a "
                "path, or give it the option idempotency_level = NO_SIDE_EFFECTS"
            )
            raise Refusal(text, ErrorCode.EREQUEST, 405, {"Allow": "POST"})
        resolved.rest = route.unresolved_path
        resolved.captures = route.captures
        return target

    def _check_host(self, resolved: ResolvedHead) -> None:
        """Refuse a request that means another host."""
        hosts, head = self._settings.hosts, resolved.head
        host = head.headers.get("host", "")
        is_allowed = hosts.allows(host)
        if "://" in head.target and head.target[0] != "/":
            # RFC 9112, 3.2.2: a host in the target counts, and not the Host.
            is_allowed = hosts.allows(resolved.uri.host) and (is_allowed or not host)
        if not is_allowed:
            resolved.needs_credentials = False
            text = f"The host {host[:256]} is none of Server(allowed_hosts=...)"
            raise Refusal(text, errno.EPERM, 421)

    def _check_origin(self, resolved: ResolvedHead, is_page: bool) -> None:
        """Refuse what the page of another site has sent."""
        headers = resolved.head.headers
        origin = headers.get("origin")
        origins = self._settings.origins
        if origin is not None and origins.allows(origin):
            resolved.cors = origins.headers_for(origin)
            return
        if not is_cross_site(headers):
            return
        if is_page and is_navigation(resolved.head.method, headers):
            return
        who = "of another site" if origin is None else f"of {origin[:256]}"
        text = f"The page {who} must not use this server: Server(cors=...) names those that may"
        raise Refusal(text, errno.EPERM, 403)

    def _is_internal(self, exchange: HttpExchange, headers: HttpHeaders) -> bool:
        """Whether the client may use pages that are not public."""
        connection, hosts = exchange.connection, self._settings.hosts
        # Those that were named in `allowed_hosts` are those of the server.
        is_own = has_own_host(headers) or hosts.names(headers.get("host", ""))
        if connection.is_internal or not is_own:
            return is_own
        return is_in(self._settings.builtin_allow, connection.socket.remote_side)

    def __repr__(self) -> str:
        count = len(self._mounts) + (self._root is not None)
        return f"<HttpRouter of {self._routes!r}, {count} mounts>"


def _is_left_over(found: Route | PageRoute | NotFound, path: str) -> bool:
    """Whether the application at "/" answers what was found so."""
    if isinstance(found, PageRoute):
        return found.name == INDEX and not path.strip("/")
    return isinstance(found, NotFound) and found.status == 404


def _is_preflight(head: RequestHead) -> bool:
    """Whether a browser asks what the page of another site may send."""
    return head.method == "OPTIONS" and "access-control-request-method" in head.headers


def _calls(http_method: str, route: Route, target: MethodTarget) -> bool:
    """Whether an HTTP method other than POST calls a method."""
    if route.http_method is not None:
        return True
    if http_method in _NEVER_CALLS:
        return False
    return http_method not in _READS or bool(route.pattern) or not target.has_side_effects


class Preflight:
    """A Target: the question of a browser whether a page of an allowed origin may send more."""

    __slots__ = ("_origins",)

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def begin(self, exchange: HttpExchange, request: HttpRequest) -> BodySink | None:
        return None

    def run(self, exchange: HttpExchange, request: HttpRequest, calls: list[Any]) -> None:
        headers = HttpHeaders(self._origins.preflight_headers(request.head.headers))
        data = request.whole(204, headers)
        note_served(exchange.connection, request, len(data), len(request.body))
        exchange.put(request.position, data)
