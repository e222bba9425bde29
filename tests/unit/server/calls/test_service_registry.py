"""ServiceRegistry: services and methods are found by their names."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.errors import NoMethodError, NoServiceError, ServerStateError
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.service_registry import ServiceRegistry
from tests.peers.raw_peer import SERVICE


class EchoService:
    def Echo(self, request: Any, controller: Any) -> str:
        return "echo"

    async def Stream(self, request: Any, controller: Any) -> str:
        return "stream"


class AsyncCallable:
    async def __call__(self, request: Any, controller: Any) -> None: ...


class Attributes:
    def __init__(self, **handlers: object) -> None:
        self.__dict__.update(handlers)


def make_service(package: str, name: str, methods: list[str]) -> ServiceDescriptor:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    file.message_type.add(name="Empty")
    service = file.service.add(name=name)
    for method in methods:
        empty = f".{package}.Empty"
        service.method.add(name=method, input_type=empty, output_type=empty)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName(f"{package}.{name}")


def filled() -> ServiceRegistry:
    registry = ServiceRegistry()
    registry.add(SERVICE, EchoService())
    return registry


def entry_of(registry: ServiceRegistry, service: str, method: str) -> MethodEntry:
    entry = registry.get(service, method)
    assert entry is not None
    return entry


@pytest.mark.parametrize("name", ["conformance.EchoService", "EchoService"])
def test_service_is_found_by_full_and_by_short_name(name: str) -> None:
    entry = entry_of(filled(), name, "Echo")
    assert entry.full_name == "conformance.EchoService.Echo"
    assert entry.handler(None, None) == "echo"


@pytest.mark.parametrize(
    ("service", "method", "error", "text"),
    [
        ("Nobody", "Echo", NoServiceError, "Fail to find service=Nobody"),
        ("", "Echo", NoServiceError, "Fail to find service="),
        ("a.Nobody", "Echo", NoMethodError, "Fail to find method=a.Nobody/Echo"),
        ("EchoService", "Sing", NoMethodError, "Fail to find method=EchoService/Sing"),
    ],
)
def test_unknown_names_say_what_cpp_says(
    service: str, method: str, error: type[Exception], text: str
) -> None:
    registry = filled()
    assert registry.get(service, method) is None
    refusal = registry.not_found_error(service, method)
    assert (type(refusal), refusal.text) == (error, text)


def test_missing_methods_are_named() -> None:
    with pytest.raises(TypeError, match=r"Attributes can't serve .*no method Stream; each is"):
        ServiceRegistry().add(SERVICE, Attributes(Echo=print, Stream="no function"))


def test_refused_service_leaves_nothing_behind() -> None:
    registry = ServiceRegistry()
    with pytest.raises(TypeError):
        registry.add(SERVICE, object())
    assert registry.service_names == []
    assert registry.entries() == []


def test_service_that_is_no_descriptor_is_refused() -> None:
    with pytest.raises(TypeError, match="descriptor of a service"):
        ServiceRegistry().add("EchoService", EchoService())  # type: ignore[arg-type]


def test_service_that_was_added_already_is_refused() -> None:
    with pytest.raises(ServerStateError, match=r"conformance\.EchoService was added already"):
        filled().add(SERVICE, EchoService())


def test_service_with_a_short_name_in_use_is_refused() -> None:
    other = make_service("other", "EchoService", ["Echo"])
    with pytest.raises(ServerStateError, match=r"same short name as conformance\.EchoService"):
        filled().add(other, EchoService())


def test_service_without_methods_is_refused() -> None:
    with pytest.raises(ServerStateError, match="has no methods"):
        ServiceRegistry().add(make_service("bare", "Bare", []), object())


def test_async_handlers_are_told_from_plain_ones() -> None:
    registry = filled()
    assert not entry_of(registry, "EchoService", "Echo").is_async
    assert entry_of(registry, "EchoService", "Stream").is_async
    assert registry.has_async_methods


def test_object_with_an_async_call_is_an_async_handler() -> None:
    registry = ServiceRegistry()
    registry.add(SERVICE, Attributes(Echo=AsyncCallable(), Stream=print))
    assert entry_of(registry, "EchoService", "Echo").is_async
    assert not entry_of(registry, "EchoService", "Stream").is_async


def test_removed_service_is_not_found_any_more() -> None:
    registry = filled()
    registry.remove(SERVICE)
    assert registry.get(SERVICE.full_name, "Echo") is None
    assert registry.get(SERVICE.name, "Echo") is None
    assert registry.service_names == []
    with pytest.raises(ServerStateError, match="was not added"):
        registry.remove(SERVICE)
    registry.add(SERVICE, EchoService())


def test_entry_is_found_by_the_full_name_of_its_method() -> None:
    registry = filled()
    entry = registry.entry_named("conformance.EchoService.Echo")
    assert entry is registry.entry_named("EchoService.Echo")
    with pytest.raises(ServerStateError, match=r"there are: conformance\.EchoService\.Echo"):
        registry.entry_named("EchoService.Sing")
