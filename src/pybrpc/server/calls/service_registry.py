"""ServiceRegistry: finds the handler of a method."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.base.checked_options import checked_text
from pybrpc.errors import NoMethodError, NoServiceError, ServerStateError
from pybrpc.rpc.interceptors.interceptor import Interceptor
from pybrpc.rpc.method import Method, methods_of, streaming_methods_of
from pybrpc.server.calls.handler_checks import (
    check_generic_handler,
    check_handler,
    check_is_object,
)
from pybrpc.server.calls.interception import intercepted
from pybrpc.server.calls.method_entry import GENERIC_NAME, Handler, MethodEntry
from pybrpc.server.calls.typed_service import TypedService, handler_names

_NOTHING: tuple[str | None, str, MethodEntry | None] = None, "", None


class ServiceRegistry:
    """Services by name. It needs no lock: it changes only while no server runs with it."""

    __slots__ = (
        "_cancel_handlers",
        "_drop_expired",
        "_entries",
        "_generic",
        "_interceptors",
        "_last",
        "_names",
        "_services",
        "_unserved",
    )

    def __init__(
        self,
        cancel_handlers: bool = True,
        drop_expired: bool = True,
        interceptors: tuple[Interceptor, ...] = (),
    ) -> None:
        """The arguments are what methods have that are added later: see MethodEntry."""
        self._interceptors = interceptors
        self._cancel_handlers = cancel_handlers
        self._drop_expired = drop_expired
        self._last = _NOTHING
        """Names of the last `get` and what it found: fast frames give the same strings again."""
        self._services: dict[str, str] = {}
        """Full names of services by their short names."""
        self._entries: dict[tuple[str, str], MethodEntry] = {}
        """By service and method. Each service has two names, the full one and the short one."""
        self._generic: MethodEntry | None = None
        """That of the generic service."""
        self._unserved: dict[str, dict[str, str]] = {}
        """Methods that are not served, and why not, by the full names of their services."""
        self._names: dict[str, list[str]] = {}
        """Names of all methods, in the order of the .proto file, by both names of the service."""

    def add(self, service: ServiceDescriptor, impl: object, partial: bool = False) -> None:
        """Serve `service` with the methods of `impl` that are named as in the .proto file.

        Methods that stream are not served, nor, if the service is `partial`, those that `impl`
        lacks, nor those of a TypedService that are not overridden.

        TypeError: `impl` lacks methods (the text names them) or can't serve them, `service` is not
        a descriptor, or an interceptor can't run around a handler.
        ServerStateError: the service was added already, or one with the same short name, which old
        clients couldn't tell from it (bRPC refuses that too), or it has no methods.
        """
        methods = list(methods_of(service))
        unserved = dict.fromkeys(
            streaming_methods_of(service), "it streams, which is not served yet"
        )
        self._check_names(service, bool(methods or unserved))
        handlers = _handlers_of(service, methods, impl, partial)
        entries = {
            method.name: self._new_entry(method, handlers[method.name])
            for method in methods
            if method.name in handlers
        }
        self._services[service.name] = service.full_name
        self._unserved[service.full_name] = unserved
        names = [method.name for method in service.methods]
        self._names[service.name] = self._names[service.full_name] = names
        self._last = _NOTHING
        for method in methods:
            entry = entries.get(method.name)
            if entry is None:
                unserved[method.name] = "it is not implemented"
                continue
            self._entries[service.full_name, method.name] = entry
            self._entries[service.name, method.name] = entry

    def add_generic(self, handler: Handler) -> None:
        """Serve all methods that no service has with `handler`.

        TypeError if it can't; ServerStateError if there is one already.
        """
        check_generic_handler(handler)
        if self._generic is not None:
            raise ServerStateError("a generic service was added already")
        self._generic = self._new_entry(None, handler)

    def _new_entry(self, method: Method | None, handler: Handler) -> MethodEntry:
        name = GENERIC_NAME if method is None else method.full_name
        entry = MethodEntry(method, intercepted(handler, self._interceptors, name))
        entry.cancel_handlers = self._cancel_handlers
        entry.drop_expired = self._drop_expired
        return entry

    def remove(self, service: ServiceDescriptor) -> None:
        """Serve `service` no more. ServerStateError if it was not added."""
        if self._services.get(service.name) != service.full_name:
            raise ServerStateError(f"service {service.full_name} was not added")
        del self._services[service.name]
        self._names.pop(service.name, None)
        self._names.pop(service.full_name, None)
        self._last = _NOTHING
        del self._unserved[service.full_name]
        for method in methods_of(service):
            self._entries.pop((service.full_name, method.name), None)
            self._entries.pop((service.name, method.name), None)

    def entry_named(self, full_name: str) -> MethodEntry:
        """The entry of "package.Service.Method" or "Service.Method", or of the generic service,
        "*"; ServerStateError if none."""
        if full_name == GENERIC_NAME and self._generic is not None:
            return self._generic
        service_name, _, method_name = checked_text("method", full_name).rpartition(".")
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

    def generic_for(self, service_name: str, method_name: str) -> MethodEntry | None:
        """The entry of the generic service, for a method that `get` has not found; `None` if there
        is none, or if a service has the method but does not serve it."""
        generic = self._generic
        if generic is None or self._why_unserved(service_name, method_name) is not None:
            return None
        return generic

    def _why_unserved(self, service_name: str, method_name: str) -> str | None:
        full_name = self._services.get(service_name, service_name)
        return self._unserved.get(full_name, {}).get(method_name)

    def name_at(self, service_name: str, index: int) -> str:
        """The name of the method at that place in its service; "" if there is none."""
        names = self._names.get(service_name, [])
        return names[index] if 0 <= index < len(names) else ""

    def not_found_error(
        self, service_name: str, method_name: str
    ) -> NoServiceError | NoMethodError:
        """The error for a method that `get` has not found, with the code and text of C++ bRPC."""
        if "." not in service_name and service_name not in self._services:
            return NoServiceError(f"Fail to find service={service_name}")
        reason = self._why_unserved(service_name, method_name)
        text = f"Fail to find method={service_name}/{method_name}"
        return NoMethodError(text if reason is None else f"{text}: {reason}")

    def unserved(self) -> list[str]:
        """The methods of the services that are not served, each with the reason."""
        return [
            f"{service}.{name} ({reason})"
            for service, reasons in self._unserved.items()
            for name, reason in reasons.items()
        ]

    @property
    def service_names(self) -> list[str]:
        """Full names, in the order in which they were added; at last "*", the generic one."""
        return [*self._services.values(), *([] if self._generic is None else [GENERIC_NAME])]

    @property
    def has_async_methods(self) -> bool:
        return any(entry.is_async for entry in self.entries())

    def is_async(self, service_name: str, method_name: str) -> bool:
        """Whether the handler of a method is async. Any thread."""
        entry = self._entries.get((service_name, method_name))
        if entry is None:
            entry = self.generic_for(service_name, method_name)
        return entry is not None and entry.is_async

    def entries(self) -> list[MethodEntry]:
        """Those of all methods, and of the generic service."""
        generic = [] if self._generic is None else [self._generic]
        return [*dict.fromkeys(self._entries.values()), *generic]

    def _check_names(self, service: ServiceDescriptor, has_methods: bool) -> None:
        other = self._services.get(service.name)
        if other == service.full_name:
            raise ServerStateError(f"service {other} was added already")
        if other is not None:
            raise ServerStateError(
                f"service {service.full_name} has the same short name as {other}, which was "
                "added already; clients may call either by the short name"
            )
        if not has_methods:
            raise ServerStateError(f"service {service.full_name} has no methods")

    def __repr__(self) -> str:
        return f"<ServiceRegistry {', '.join(self.service_names) or 'empty'}>"


def _handlers_of(
    service: ServiceDescriptor, methods: list[Method], impl: object, is_partial: bool
) -> dict[str, Handler]:
    names = [method.name for method in methods]
    check_is_object(impl, service.full_name, names)
    attributes = handler_names(service, impl)
    handlers: dict[str, Handler] = {}
    for name in names:
        attribute = attributes[name]
        handler = None if attribute is None else getattr(impl, attribute, None)
        if callable(handler):
            check_handler(impl, name, handler)
            handlers[name] = handler
    missing = [name for name in names if name not in handlers]
    is_typed = isinstance(impl, TypedService)
    if missing and not is_typed and not (is_partial and handlers):
        hint = "" if is_partial else "; partial=True serves those that it has"
        raise TypeError(
            f"{type(impl).__name__} can't serve {service.full_name}: it has no method "
            f"{', '.join(missing)}; each is called as method(request, controller){hint}"
        )
    return handlers
