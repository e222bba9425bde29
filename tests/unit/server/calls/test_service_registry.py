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
from tests.peers.streaming import MIXED


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


def test_function_in_place_of_the_name_of_a_method_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="method must be a string, not a function"):
        filled().entry_named(EchoService.Echo)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [(True, False), (False, True)])
def test_methods_that_are_added_have_the_options_of_the_registry(
    options: tuple[bool, bool],
) -> None:
    registry = ServiceRegistry(*options)
    registry.add(SERVICE, EchoService())
    found = {(entry.cancel_handlers, entry.drop_expired) for entry in registry.entries()}
    assert found == {options}


def test_partial_service_may_lack_methods() -> None:
    registry = ServiceRegistry()
    registry.add(SERVICE, Attributes(Echo=print), partial=True)
    assert entry_of(registry, "EchoService", "Echo").handler is print
    for name in ("EchoService", "conformance.EchoService"):
        assert registry.get(name, "Stream") is None
        refusal = registry.not_found_error(name, "Stream")
        assert type(refusal) is NoMethodError
        assert refusal.text == f"Fail to find method={name}/Stream: it is not implemented"
    assert registry.unserved() == ["conformance.EchoService.Stream (it is not implemented)"]
    registry.remove(SERVICE)
    assert registry.unserved() == []


def test_partial_service_without_any_method_is_refused() -> None:
    with pytest.raises(TypeError, match=r"object can't serve .*: it has no method Echo, Stream"):
        ServiceRegistry().add(SERVICE, object(), partial=True)


def test_missing_methods_lead_to_partial() -> None:
    with pytest.raises(TypeError, match=r"; partial=True serves those that it has$"):
        ServiceRegistry().add(SERVICE, Attributes(Echo=print))


def test_streaming_methods_are_not_served_and_need_no_handler() -> None:
    registry = ServiceRegistry()
    registry.add(MIXED, Attributes(Echo=print))
    assert [entry.full_name for entry in registry.entries()] == ["streaming.Mixed.Echo"]
    for name in ("Watch", "Upload", "Chat"):
        assert registry.get("streaming.Mixed", name) is None
        text = registry.not_found_error("Mixed", name).text
        assert text == f"Fail to find method=Mixed/{name}: it streams, which is not served yet"
    assert len(registry.unserved()) == 3
    registry.remove(MIXED)
    registry.add(MIXED, Attributes(Echo=print))


def test_class_in_place_of_an_object_is_refused() -> None:
    with pytest.raises(TypeError, match=r"is the class, .* pass EchoService\(\.\.\.\)"):
        ServiceRegistry().add(SERVICE, EchoService)


@pytest.mark.parametrize("name", ["conformance.EchoService", "EchoService"])
def test_name_of_a_method_is_found_by_its_place_in_the_service(name: str) -> None:
    registry = filled()
    assert [registry.name_at(name, index) for index in (0, 1)] == ["Echo", "Stream"]
    for index in (2, -1, -2, 2**31 - 1):
        assert registry.name_at(name, index) == ""
    registry.remove(SERVICE)
    assert registry.name_at(name, 0) == ""


def test_methods_that_are_not_served_have_their_places_too() -> None:
    registry = ServiceRegistry()
    registry.add(MIXED, Attributes(Echo=print))
    names = [method.name for method in MIXED.methods]
    assert [registry.name_at("Mixed", index) for index in range(5)] == [*names, ""]


# --- a generic service ---


def generic(registry: ServiceRegistry, service: str, method: str) -> MethodEntry | None:
    assert registry.get(service, method) is None
    return registry.generic_for(service, method)


async def respond(request: Any, controller: Any) -> bytes:
    return b"response"


def test_generic_service_serves_methods_that_no_service_has() -> None:
    registry = filled()
    assert generic(registry, "other.Service", "Method") is None
    registry.add_generic(respond)
    entry = registry.entry_named("*")
    assert (entry.is_generic, entry.is_async, entry.full_name) == (True, True, "*")
    assert generic(registry, "other.Service", "Method") is entry
    assert generic(registry, SERVICE.full_name, "Other") is entry
    assert not entry_of(registry, SERVICE.full_name, "Echo").is_generic
    assert registry.entries()[-1] is entry
    assert registry.service_names == [SERVICE.full_name, "*"]


def test_generic_service_does_not_serve_methods_that_a_service_does_not_serve() -> None:
    registry = ServiceRegistry()
    registry.add(MIXED, Attributes(Echo=respond))
    registry.add_generic(respond)
    for service in (MIXED.full_name, MIXED.name):
        assert generic(registry, service, "Watch") is None
        assert isinstance(registry.not_found_error(service, "Watch"), NoMethodError)


def test_options_of_the_registry_hold_for_the_generic_service() -> None:
    registry = ServiceRegistry(cancel_handlers=False, drop_expired=False)
    registry.add_generic(respond)
    entry = registry.entry_named("*")
    assert (entry.cancel_handlers, entry.drop_expired) == (False, False)


def test_generic_service_decides_whether_there_are_async_methods() -> None:
    registry = ServiceRegistry()
    registry.add_generic(lambda request, controller: b"")
    assert not registry.has_async_methods
    assert not registry.is_async("any.Service", "Method")
    registry = filled()
    registry.add_generic(AsyncCallable())
    assert registry.has_async_methods
    assert registry.is_async("any.Service", "Method")
    assert not registry.is_async(SERVICE.full_name, "Echo")


def test_there_is_one_generic_service() -> None:
    registry = ServiceRegistry()
    with pytest.raises(ServerStateError, match="no method '\\*' was added"):
        registry.entry_named("*")
    registry.add_generic(respond)
    with pytest.raises(ServerStateError, match="a generic service was added already"):
        registry.add_generic(respond)
