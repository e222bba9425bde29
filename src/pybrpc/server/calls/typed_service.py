"""TypedService: the base class of the services that protoc-gen-pybrpc makes."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import ClassVar, TypeAlias, TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pybrpc.base.checked_options import shown
from pybrpc.rpc.attribute_names import attribute_names
from pybrpc.rpc.server_sent_event import ServerSentEvent

Resp = TypeVar("Resp")

BodyItem: TypeAlias = bytes | bytearray | memoryview | str | Message | ServerSentEvent

HandlerResponse: TypeAlias = Resp | Awaitable[Resp] | Iterator[BodyItem] | AsyncIterator[BodyItem]
"""A response of a handler of a generated service: a `Resp`, or an awaitable of one, as an `async
def` returns; or the items of a generator, for a body of HTTP in parts."""


class TypedService:
    """The base class of generated services. `server.add_service(impl)` takes an object of a class
    that is derived from one.

    A method that is not overridden is answered with ENOMETHOD, and the server logs its name when
    it starts.
    """

    __slots__ = ()

    SERVICE: ClassVar[ServiceDescriptor]
    """The descriptor of the service. Generated classes set it."""


class NamesHandlers:
    """The base class of objects that serve any service, and say which attribute handles a method.

    Others that are no TypedService have handlers that are named like the methods.
    """

    __slots__ = ()

    def _handler_names(self) -> Mapping[str, str]:
        """The attribute of each method that is served, by the name of the method."""
        raise NotImplementedError


def with_descriptor(
    service: ServiceDescriptor | TypedService, impl: object
) -> tuple[ServiceDescriptor, object]:
    """The descriptor of a service, and the object that serves it, of the arguments of
    `add_service`: these two, or an object of a generated class alone. TypeError for others."""
    if isinstance(service, type) and issubclass(service, TypedService):
        raise TypeError(f"{service.__name__} is the class: pass an object, {service.__name__}(...)")
    if isinstance(service, TypedService):
        if impl is not None:
            raise TypeError(f"pass {type(service).__name__}(...) alone: it knows its service")
        return service_of(type(service)), service
    if impl is None:
        raise TypeError(
            "pass the descriptor of a service and the object that serves it, or an object of a "
            f"class derived from a generated one alone, not {shown(service)} alone"
        )
    return service, impl


def service_of(kind: type[TypedService]) -> ServiceDescriptor:
    """The service of a generated class, or of one that is derived from it. TypeError if there is
    none, or more than one."""
    bases = [base for base in kind.__mro__ if "SERVICE" in vars(base)]
    services = {vars(base)["SERVICE"].full_name: base for base in bases}
    if len(services) == 1:
        (base,) = services.values()
        return base.SERVICE  # type: ignore[attr-defined, no-any-return]
    if not services:
        raise TypeError(f"{kind.__name__} is derived from no class of protoc-gen-pybrpc")
    descriptors = " or ".join(f"{base.__name__}.SERVICE" for base in services.values())
    raise TypeError(
        f"{kind.__name__} serves {', '.join(services)}: choose one by its descriptor, {descriptors}"
    )


def handler_names(service: ServiceDescriptor, impl: object) -> dict[str, str | None]:
    """The attribute of `impl` that handles each method; `None` for one of a generated class that
    is not overridden."""
    names = [method.name for method in service.methods]
    if isinstance(impl, NamesHandlers):
        found = impl._handler_names()
        return {name: found.get(name) for name in names}
    if not isinstance(impl, TypedService):
        return dict(zip(names, names, strict=True))
    defaults: list[Mapping[str, object]] = [
        vars(base)
        for base in type(impl).__mro__
        if getattr(vars(base).get("SERVICE"), "full_name", None) == service.full_name
    ]
    return {
        name: None if _is_default(impl, attribute, defaults) else attribute
        for name, attribute in attribute_names(names).items()
    }


def _is_default(impl: object, attribute: str, defaults: list[Mapping[str, object]]) -> bool:
    found = inspect.getattr_static(impl, attribute, None)
    return any(found is not None and found is default.get(attribute) for default in defaults)
