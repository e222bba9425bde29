"""ServiceRegistry: which handler serves which method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.errors import NoMethodError, NoServiceError, ServerStateError
from pybrpc.rpc.method import Method, methods_of

Handler = Callable[..., Any]

SLOW_S = 0.001
"""Mean seconds from which on a handler counts as slow."""

MIN_FAST_CALLS, MOST_PROOFS = 8, 256
"""After so many calls that took less than SLOW_S each, a handler counts as quick again: few after a
slow one that came alone, as when another process had the processor, more each time that one
comes soon again."""

_WEIGHT = 0.125
_COUNTED_S = 4 * SLOW_S
"""What one call counts at most: a handler is slow after three slow calls in a row, not after one
that waited for the GIL."""


class MethodEntry:
    """One method that is served, how long its handler takes, and how many may run at once."""

    __slots__ = (
        "_fast_calls",
        "_proofs",
        "full_name",
        "handler",
        "inline_after_calls",
        "is_async",
        "max_concurrency",
        "mean_s",
        "request_type",
        "response_type",
        "running",
        "waits",
    )

    def __init__(self, method: Method, handler: Handler) -> None:
        self.full_name = method.full_name
        self.request_type = method.request_type
        self.response_type = method.response_type
        self.handler = handler
        self.is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        self.mean_s = 0.0
        """Moving average of seconds in the handler. Written by many threads; losing a value in a
        race does no harm."""
        self.inline_after_calls = 0
        """Calls until it may be run by the thread that reads; written like `mean_s`."""
        self._proofs = MIN_FAST_CALLS
        """What that will be after the next slow call."""
        self._fast_calls = 0
        """Since it counts as quick."""
        self.max_concurrency = 0
        """Requests of this method that may run at once; 0: no limit of its own."""
        self.running: set[object] = set()
        """Those that do, counted only while there is a limit."""
        self.waits = False
        """Whether the last call of an async handler had something to wait for."""

    def is_full(self) -> bool:
        limit = self.max_concurrency
        return bool(limit) and len(self.running) >= limit

    def is_quick(self) -> bool:
        """Whether no call has been slow of late; of one that was never called too."""
        return self.inline_after_calls == 0

    def note_slow(self) -> None:
        self.inline_after_calls = self._proofs
        self._proofs = min(2 * self._proofs, MOST_PROOFS)
        self._fast_calls = 0

    def note_duration(self, seconds: float) -> None:
        if seconds > SLOW_S:
            self.note_slow()
        elif self.inline_after_calls > 0:
            self.inline_after_calls -= 1
        elif self._proofs > MIN_FAST_CALLS:
            self._note_fast()
        if seconds > _COUNTED_S:
            seconds = _COUNTED_S
        self.mean_s += (seconds - self.mean_s) * _WEIGHT

    def _note_fast(self) -> None:
        self._fast_calls += 1
        if self._fast_calls >= MOST_PROOFS:
            self._fast_calls = 0
            self._proofs //= 2

    def __repr__(self) -> str:
        kind = "async" if self.is_async else "sync"
        return f"<MethodEntry {self.full_name}, {kind}, {self.mean_s * 1e6:.0f} us>"


_NOTHING: tuple[str | None, str, MethodEntry | None] = None, "", None


class ServiceRegistry:
    """Services by name. Changed only while no server runs with it, so it needs no lock."""

    __slots__ = ("_entries", "_last", "_services")

    def __init__(self) -> None:
        self._last = _NOTHING
        """What was asked for last: usual frames give the same strings again."""
        self._services: dict[str, str] = {}
        # By (service, method); a service is found by its full and by its short name.
        self._entries: dict[tuple[str, str], MethodEntry] = {}

    def add(self, service: ServiceDescriptor, impl: object) -> None:
        """Serve `service` with the methods of `impl` that are named as in the .proto file.

        TypeError: `impl` lacks some (the text says which), or `service` is no descriptor.
        ServerStateError: the service is there, or another with the same short name, which old
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
        """Serve it no more. ServerStateError if it was not added."""
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
        """What to answer when `get` gave `None`: the code and text of C++ bRPC."""
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
