"""ServiceRegistry: finds the handler of a method."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.errors import NoMethodError, NoServiceError, ServerStateError
from pybrpc.rpc.method import Method, methods_of
from pybrpc.server.calls.method_entry import Handler, MethodEntry

_NOTHING: tuple[str | None, str, MethodEntry | None] = None, "", None


class ServiceRegistry:
    """Services by name. It needs no lock: it changes only while no server runs with it."""

    __slots__ = ("_entries", "_last", "_services")

    def __init__(self) -> None:
        self._last = _NOTHING
        """Names of the last `get` and what it found: fast frames give the same strings again."""
        self._services: dict[str, str] = {}
        """Full names of services by their short names."""
        self._entries: dict[tuple[str, str], MethodEntry] = {}
        """By service and method. Each service has two names, the full one and the short one."""

    def add(self, service: ServiceDescriptor, impl: object) -> None:
        """Serve `service` with the methods of `impl` that are named as in the .proto file.

        TypeError: `impl` lacks methods (the text names them), or `service` is not a descriptor.
        ServerStateError: the service was added already, or one with the same short name, which old
        clients couldn't tell from it (bRPC refuses that too), or it has no methods.
        """
        methods = list(methods_of(service))
        self._check_names(service, methods)
        handlers = _handlers_of(service, methods, impl)
        self._services[service.name] = service.full_name
        self._last = _NOTHING
        for method, handler in zip(methods, handlers, strict=True):
            entry = MethodEntry(method, handler)
            self._entries[service.full_name, method.name] = entry
            self._entries[service.name, method.name] = entry

    def remove(self, service: ServiceDescriptor) -> None:
        """Serve `service` no more. ServerStateError if it was not added."""
        if self._services.get(service.name) != service.full_name:
            raise ServerStateError(f"service {service.full_name} was not added")
        del self._services[service.name]
        self._last = _NOTHING
        for method in methods_of(service):
            del self._entries[service.full_name, method.name]
            del self._entries[service.name, method.name]

    def entry_named(self, full_name: str) -> MethodEntry:
        """The entry of "package.Service.Method" or "Service.Method"; ServerStateError if none."""
        service_name, _, method_name = full_name.rpartition(".")
        entry = self.get(service_name, method_name)
        if entry is None:
            known = ", ".join(entry.full_name for entry in self.entries())
            raise ServerStateError(f"no method {full_name!r} was added; there are: {known}")
        return entry

    def get(self, service_name: str, method_name: str) -> MethodEntry | None:
        """The entry of a method, by the full or the short name of its service."""
        last = self._last
        if service_name is last[0] and method_name is last[1]:
            return last[2]
        entry = self._entries.get((service_name, method_name))
        self._last = service_name, method_name, entry
        return entry

    def not_found_error(
        self, service_name: str, method_name: str
    ) -> NoServiceError | NoMethodError:
        """The error for a method that `get` has not found, with the code and text of C++ bRPC."""
        if "." not in service_name and service_name not in self._services:
            return NoServiceError(f"Fail to find service={service_name}")
        return NoMethodError(f"Fail to find method={service_name}/{method_name}")

    @property
    def service_names(self) -> list[str]:
        """Full names, in the order in which they were added."""
        return list(self._services.values())

    @property
    def has_async_methods(self) -> bool:
        return any(entry.is_async for entry in self._entries.values())

    def entries(self) -> list[MethodEntry]:
        return list(dict.fromkeys(self._entries.values()))

    def _check_names(self, service: ServiceDescriptor, methods: list[Method]) -> None:
        other = self._services.get(service.name)
        if other == service.full_name:
            raise ServerStateError(f"service {other} was added already")
        if other is not None:
            raise ServerStateError(
                f"service {service.full_name} has the same short name as {other}, which was "
                "added already; clients may call either by the short name"
            )
        if not methods:
            raise ServerStateError(f"service {service.full_name} has no methods")

    def __repr__(self) -> str:
        return f"<ServiceRegistry {', '.join(self.service_names) or 'empty'}>"


def _handlers_of(service: ServiceDescriptor, methods: list[Method], impl: object) -> list[Handler]:
    handlers = [getattr(impl, method.name, None) for method in methods]
    missing = [
        method.name
        for method, handler in zip(methods, handlers, strict=True)
        if not callable(handler)
    ]
    if missing:
        raise TypeError(
            f"{type(impl).__name__} can't serve {service.full_name}: it has no method "
            f"{', '.join(missing)}; each is called as method(request, controller)"
        )
    return [handler for handler in handlers if handler is not None]
