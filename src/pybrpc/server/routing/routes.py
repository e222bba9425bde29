"""Routes: the methods and pages of a server by the paths of HTTP.

bRPC: FindMethodPropertyByURI (src/brpc/policy/http_rpc_protocol.cpp), AddServiceInternal
(src/brpc/server.cpp).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.base.checked_options import checked_flag
from pybrpc.errors import ServerStateError
from pybrpc.server.routing.captures import captured_text
from pybrpc.server.routing.restful_map import Match, RestfulMap
from pybrpc.server.routing.restful_path import RestfulPath
from pybrpc.server.routing.service_routes import ServiceRoutes
from pybrpc.server.routing.values import (
    NotFound,
    PageRoute,
    Route,
    missing_method_name,
    no_method,
    not_utf8,
    wrong_http_method,
)

INDEX = "index"
"""The page of the path "/"."""

_PatternKey = tuple[str | None, str, tuple[str | None, ...], str | None]


class Routes:
    """The methods and pages that paths mean. While nothing is added or removed, any thread may ask.

    A path means, by its first component:

    - none: the page "index";
    - a page, also as "brpc.page": the page;
    - a service, by its full name if it has a dot, else by the short one: its method that the next
      component names, else its method `default_method`; for a mapped method, nothing, unless its
      service allows default URLs;
    - the first component of restful paths: the one that matches, see `RestfulMap`.

    Where that finds nothing, the restful paths that begin with `*` or a capture are tried. Names
    are compared as they were sent, nothing is percent-decoded.
    """

    __slots__ = (
        "_any",
        "_chosen_by_method",
        "_maps",
        "_mounts",
        "_names",
        "_pages",
        "_patterns",
        "_plain",
        "_services",
    )

    def __init__(self, pages: Iterable[str] = ()) -> None:
        """`pages`: names of the builtin pages; no service and no path may have one of them."""
        self._pages: dict[str, str] = {}
        for page in pages:
            self._pages[page] = self._pages[f"brpc.{page}"] = page
        self._mounts: set[tuple[str, ...]] = set()
        """The components of the paths at which applications are mounted."""
        self._services: dict[str, ServiceRoutes] = {}
        """By full names, in the order in which they were added."""
        self._clear()

    def _clear(self) -> None:
        self._names: dict[str, ServiceRoutes] = {}
        """Services by both names."""
        self._maps: dict[str, RestfulMap] = {}
        self._any = RestfulMap("")
        """The paths that begin with `*` or a capture."""
        self._patterns: dict[_PatternKey, str] = {}
        """The methods that paths are mapped to, each by all that makes it another path."""
        self._plain: dict[str, Route] = {}
        """Paths in their usual form that mean the same for every HTTP method."""
        self._chosen_by_method: set[str] = set()
        """Paths without captures and `*` of which the HTTP method chooses the method."""

    def add_service(
        self,
        service: ServiceDescriptor,
        entries: Mapping[str, Any],
        restful_mappings: str = "",
        allow_default_url: bool = False,
    ) -> None:
        """Add the methods in `entries`, by their names; the values are what `Route.entry` will be.

        `restful_mappings` is as in `parse_restful_mappings`; several paths may mean one method.
        Methods that are mapped have no path "/Service/Method", unless `allow_default_url`.

        ServerStateError: the name of the service is that of another one, of a page, or the first
        component of a restful path or of a mount. ValueError: a mapping is malformed, its path is
        taken or below a mount, its method is not in `entries`, or its capture can't be set in the
        request. TypeError: an argument of a wrong type. Nothing is added then.
        """
        checked_flag("allow_default_url", allow_default_url)
        routes = ServiceRoutes(service, entries, restful_mappings, allow_default_url)
        self._check_name(service)
        self._check_paths(routes)
        self._services[service.full_name] = routes
        self._insert(routes)

    def add_mount(self, path: str) -> None:
        """Note that an application gets all that is at and below `path`, "/app", before anything is
        looked up here; at "/", that it gets what means nothing here.

        ValueError: an application is mounted there, the path begins with the name of a page or of a
        service, or a restful path is below it. Nothing is noted then.
        """
        components = _components_of(path)
        if components in self._mounts:
            raise ValueError(f"an application is mounted at {path} already")
        first = components[0] if components else ""
        if first in self._pages:
            raise ValueError(f"the mount {path} begins with the name of the builtin page /{first}")
        if first in self._names:
            name = self._names[first].full_name
            raise ValueError(f"the mount {path} begins with the name of the service {name}")
        for routes in self._services.values():
            for mapping in routes.mappings:
                if _is_below(mapping.path, components):
                    raise ValueError(f"the mount {path} hides the restful path {mapping.path}")
        self._mounts.add(components)

    def remove_service(self, service: ServiceDescriptor) -> None:
        """Remove a service and the paths of its methods. ServerStateError if it was not added."""
        if self._services.pop(service.full_name, None) is None:
            raise ServerStateError(f"service {service.full_name} was not added")
        self._clear()
        for routes in self._services.values():
            self._insert(routes)

    def urls_of(self, service_name: str, method_name: str) -> tuple[str, ...]:
        """The restful paths of a method, in the order in which they were mapped: for /status.

        By the full or the short name of its service; () for methods that are not mapped.
        """
        routes = self._names.get(service_name)
        return () if routes is None else tuple(map(str, routes.paths_of(method_name)))

    def find(self, http_method: str, path: str) -> Route | PageRoute | NotFound:
        """Find the meaning of `path`, which has no query and no fragment. Time is linear in it.

        It is as `RequestHead.target` has it: bytes that are no UTF-8 are surrogates. Any text is
        allowed; slashes may be repeated, and the one in front may be missing.
        """
        route = self._plain.get(path)
        if route is not None:
            return route
        components = [component for component in path.split("/") if component]
        if not components:
            if INDEX in self._pages:
                return PageRoute(INDEX)
            return self._find_mapped(http_method, path, None, components)
        first = components[0]
        page = self._pages.get(first)
        if page is not None:
            return PageRoute(page, "/".join(components[1:]))
        routes = self._names.get(first)
        if routes is None:
            return self._find_mapped(http_method, path, self._maps.get(first), components)
        resolved = routes.resolve(components)
        if resolved is not None:
            return _default_route(routes, *resolved, components) or no_method(path)
        if len(components) == 1:
            return missing_method_name(first, routes.signatures())
        return self._find_mapped(http_method, path, None, components)

    def _find_mapped(
        self, http_method: str, path: str, own: RestfulMap | None, components: list[str]
    ) -> Route | NotFound:
        """`own` has the paths that begin with the first component, if any do."""
        allow: set[str] = set()
        match = None if own is None else own.find(http_method, components[1:], allow)
        if match is not None:
            return _route_of(match, components[1:], path)
        match = self._any.find(http_method, components, allow)
        if match is not None:
            return _route_of(match, components, path)
        return wrong_http_method(http_method, path, allow) if allow else no_method(path)

    def _check_name(self, service: ServiceDescriptor) -> None:
        for name in (service.full_name, service.name):
            if name in self._names:
                other = self._names[name].full_name
                raise ServerStateError(
                    f"service {service.full_name} has the name of {other}, which was added already"
                )
            if name in self._pages:
                raise ServerStateError(
                    f"service {service.full_name} has the name of the builtin page /{name}"
                )
            if name in self._maps:
                raise ServerStateError(
                    f"service {service.full_name} has the name of the first component of "
                    f"restful paths that were added already, /{name}"
                )
            for mount in self._mounts:
                if name in mount[:1]:
                    raise ServerStateError(
                        f"service {service.full_name} has the name of the first component of the "
                        f"mount /{'/'.join(mount)}"
                    )

    def _check_paths(self, routes: ServiceRoutes) -> None:
        service = routes.service
        names = (service.full_name, service.name)
        new: dict[_PatternKey, str] = {}
        for mapping in routes.mappings:
            path = mapping.path
            first = path.service_name
            if first in self._pages or (path.url == "/" and INDEX in self._pages):
                raise ValueError(f"restful path {path} is that of a builtin page")
            if first in names or first in self._names:
                raise ValueError(f"restful path {path} begins with the name of a service, /{first}")
            for mount in self._mounts:
                if _is_below(path, mount):
                    raise ValueError(f"restful path {path} is below the mount /{'/'.join(mount)}")
            key = _key_of(path)
            other = new.get(key) or self._patterns.get(key)
            if other is not None:
                raise ValueError(f"restful path {path} is mapped already, to {other}")
            new[key] = f"{service.full_name}.{mapping.method_name}"

    def _insert(self, routes: ServiceRoutes) -> None:
        service = routes.service
        for name in (service.full_name, service.name):
            self._names[name] = routes
            for method_name, route in routes.by_name.items():
                self._plain[f"/{name}/{method_name}"] = route
        for mapping in routes.mappings:
            path = mapping.path
            self._patterns[_key_of(path)] = f"{service.full_name}.{mapping.method_name}"
            restful_map = self._any
            if path.service_name:
                restful_map = self._maps.setdefault(
                    path.service_name, RestfulMap(path.service_name)
                )
            restful_map.add(path, routes.entries[mapping.method_name])
            self._note_plain(path, routes.entries[mapping.method_name])

    def _note_plain(self, path: RestfulPath, entry: Any) -> None:
        """Put a path into `_plain` that no other one precedes, unless HTTP methods choose."""
        if path.has_wildcard or path.captures:
            return
        url = path.url
        if path.http_method is not None:
            self._chosen_by_method.add(url)
            self._plain.pop(url, None)
        elif url not in self._chosen_by_method:
            self._plain[url] = Route(entry, pattern=url)

    def __repr__(self) -> str:
        return f"<Routes {', '.join(self._services) or 'empty'}>"


def _key_of(path: RestfulPath) -> _PatternKey:
    """Equal for paths that match the same requests: names of captures don't matter."""
    return path.http_method, path.service_name, path.prefix, path.suffix


def _components_of(path: str) -> tuple[str, ...]:
    return tuple(component for component in path.split("/") if component)


def _is_below(path: RestfulPath, mount: tuple[str, ...]) -> bool:
    """Whether all requests that match `path` go to the application that is mounted there. That at
    "/" has none of them."""
    fixed = (path.service_name, *path.prefix)
    return bool(mount) and fixed[: len(mount)] == mount


def _default_route(
    routes: ServiceRoutes, method_name: str, used: int, components: list[str]
) -> Route | None:
    """`None` if the method has no path "/Service/Method"."""
    route = routes.by_name.get(method_name)
    if route is None or used == len(components):
        return route
    return Route(route.entry, "/".join(components[used:]))


def _route_of(match: Match, components: list[str], path: str) -> Route | NotFound:
    """`components` are those that the map of the match was asked for."""
    target = match.target
    captures: list[tuple[str, str]] = []
    for field, place in zip(target.path.captures, target.places, strict=True):
        try:
            captures.append((field, captured_text(components[place])))
        except UnicodeError:
            return not_utf8(path, field)
    return Route(
        target.entry,
        match.unresolved_path,
        tuple(captures),
        target.path.http_method,
        target.url,
    )
