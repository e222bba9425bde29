"""ServiceRoutes: the methods of one service, and the restful paths that it was added with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from pybrpc.server.routing.captures import check_capture
from pybrpc.server.routing.restful_path import RestfulMapping, RestfulPath, parse_restful_mappings
from pybrpc.server.routing.values import Route

DEFAULT_METHOD = "default_method"


class ServiceRoutes:
    """Not changed after it was made. ValueError: see `Routes.add_service`.

    by_name  the routes of the paths "/Service/Method" by the names of the methods; those that are
             mapped are missing, unless default URLs are allowed
    """

    __slots__ = ("by_name", "entries", "full_name", "mappings", "service")

    def __init__(
        self,
        service: ServiceDescriptor,
        entries: Mapping[str, Any],
        restful_mappings: str,
        allow_default_url: bool,
    ) -> None:
        self.service = service
        self.full_name: str = service.full_name
        self.entries = dict(entries)
        self.mappings = parse_restful_mappings(restful_mappings)
        for mapping in self.mappings:
            self._check_mapping(mapping)
        mapped = set() if allow_default_url else {each.method_name for each in self.mappings}
        self.by_name = {
            name: Route(entry) for name, entry in self.entries.items() if name not in mapped
        }

    def _check_mapping(self, mapping: RestfulMapping) -> None:
        name = mapping.method_name
        method = self.service.methods_by_name.get(name)
        if method is None:
            raise ValueError(f"restful path {mapping.path}: {self.full_name} has no method {name}")
        if name not in self.entries:
            raise ValueError(f"restful path {mapping.path}: {self.full_name}.{name} is not served")
        for capture in mapping.path.captures:
            try:
                check_capture(capture, method.input_type)
            except ValueError as error:
                raise ValueError(f"restful path {mapping.path}: {error}") from None

    def resolve(self, components: list[str]) -> tuple[str, int] | None:
        """The name of the method that a path means, and how many of its components say that.

        `components` begin with the name of the service. `None` if there is no such method, and no
        default_method.
        """
        if len(components) > 1 and components[1] in self.entries:
            return components[1], 2
        if DEFAULT_METHOD in self.entries:
            return DEFAULT_METHOD, 1
        return None

    def paths_of(self, method_name: str) -> list[RestfulPath]:
        """The paths that are mapped to a method."""
        return [each.path for each in self.mappings if each.method_name == method_name]

    def signatures(self) -> tuple[str, ...]:
        """The methods, as in the .proto file, without the packages of their types."""
        return tuple(_signature_of(method) for method in self.service.methods)

    def __repr__(self) -> str:
        return f"<ServiceRoutes {self.full_name}, {len(self.mappings)} restful paths>"


def _signature_of(method: MethodDescriptor) -> str:
    request = f"{'stream ' if method.client_streaming else ''}{method.input_type.name}"
    response = f"{'stream ' if method.server_streaming else ''}{method.output_type.name}"
    return f"rpc {method.name} ({request}) returns ({response});"
