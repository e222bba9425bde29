"""TypedService: which service an object serves, and which of its methods."""

from __future__ import annotations

from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ServerStateError
from pybrpc.server.calls.typed_service import TypedService, handler_names, with_descriptor
from tests.peers.raw_peer import SERVICE
from tests.peers.streaming import MIXED


class EchoBase(TypedService):
    """A class as the plugin makes it."""

    SERVICE = SERVICE

    def Echo(self, request: Any, controller: Any, /) -> Any:
        raise NotImplementedError

    def Stream(self, request: Any, controller: Any, /) -> Any:
        raise NotImplementedError


class MixedBase(TypedService):
    SERVICE = MIXED

    def Echo(self, request: Any, controller: Any, /) -> Any:
        raise NotImplementedError


class Echo(EchoBase):
    def Echo(self, request: Any, controller: Any) -> Any:
        return request


class Both(Echo, MixedBase):
    """An object of two services."""


class OfNone(TypedService):
    """A class that protoc has not made."""


def test_object_of_a_generated_class_knows_its_service() -> None:
    impl = Echo()
    assert with_descriptor(impl, None) == (SERVICE, impl)
    assert with_descriptor(SERVICE, impl) == (SERVICE, impl)


@pytest.mark.parametrize(
    ("service", "impl", "text"),
    [
        (Echo, None, r"Echo is the class: pass an object, Echo\(\.\.\.\)"),
        (Echo(), object(), r"pass Echo\(\.\.\.\) alone"),
        (OfNone(), None, "OfNone is derived from no class of protoc-gen-pybrpc"),
        (SERVICE, None, "pass the descriptor of a service and the object that serves it"),
        (object(), None, "pass the descriptor of a service and the object that serves it"),
        (
            Both(),
            None,
            r"choose one by its descriptor, EchoBase\.SERVICE or MixedBase\.SERVICE",
        ),
    ],
)
def test_wrong_arguments_are_refused(service: Any, impl: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        with_descriptor(service, impl)
    with pytest.raises(TypeError, match=text):
        pybrpc.Server().add_service(service, impl)


def test_object_of_two_services_serves_each_by_its_descriptor() -> None:
    server, both = pybrpc.Server(), Both()
    server.add_service(SERVICE, both)
    server.add_service(MIXED, both)
    with pytest.raises(ServerStateError, match="added already"):
        server.add_service(Echo())
    server.remove_service(EchoBase.SERVICE)
    server.add_service(Echo())


def test_method_that_is_not_overridden_has_no_handler() -> None:
    assert handler_names(SERVICE, Echo()) == {"Echo": "Echo", "Stream": None}
    assert handler_names(SERVICE, EchoBase()) == {"Echo": None, "Stream": None}
    assert handler_names(SERVICE, object()) == {"Echo": "Echo", "Stream": "Stream"}


def test_function_of_the_object_is_a_handler() -> None:
    impl: Any = EchoBase()
    impl.Stream = lambda request, controller: request
    assert handler_names(SERVICE, impl) == {"Echo": None, "Stream": "Stream"}


def test_handler_with_wrong_arguments_is_refused_when_it_is_added() -> None:
    class Wrong(EchoBase):
        def Echo(self, request: Any) -> Any:  # type: ignore[override]
            return request

    with pytest.raises(TypeError, match="Echo of Wrong is called as Echo"):
        pybrpc.Server().add_service(Wrong())
