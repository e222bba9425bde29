"""Own naming services: which schemes and factories are taken."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import NamingService, NamingUrl, register_naming_service, watch
from tests.fakes.naming import FakeNaming, fake_scheme
from tests.peers.naming_watchers import RecordingWatcher, watching


def test_factory_gets_the_rest_unparsed() -> None:
    with fake_scheme() as scheme:
        with watching(f"{scheme.name}://host/path?x=1#y", server_filter=None) as watcher:
            assert scheme.service.url == NamingUrl(scheme.name, "host/path?x=1#y")
            scheme.service.give(["a:1"])
            watcher.wait_list("a:1")


def test_factory_may_be_registered_again_but_not_replaced() -> None:
    with fake_scheme() as scheme:
        register_naming_service(scheme.name, scheme.make)
        with pytest.raises(ValueError, match="already"):
            register_naming_service(scheme.name, FakeNaming)


@pytest.mark.parametrize("scheme", ["list", "file", "zk", "zookeeper", "etcd", "http"])
def test_built_in_schemes_are_taken(scheme: str) -> None:
    with pytest.raises(ValueError, match="already"):
        register_naming_service(scheme, FakeNaming)


@pytest.mark.parametrize("scheme", ["", "My", "1x", "a b", "x" * 32, "a_b", 5])
def test_wrong_schemes_are_refused(scheme: Any) -> None:
    with pytest.raises(ValueError, match="a scheme is a word"):
        register_naming_service(scheme, FakeNaming)


@pytest.mark.parametrize("factory", [None, 5, lambda: None, lambda url, more: None])
def test_wrong_factories_are_refused(factory: Any) -> None:
    with pytest.raises(TypeError, match="factory"):
        register_naming_service("wrongfactory", factory)


def test_factory_that_returns_something_else_is_an_error_of_watch() -> None:
    with fake_scheme(lambda url: 5) as scheme:  # type: ignore[arg-type, return-value]
        with pytest.raises(TypeError, match="must return a NamingService"):
            watch(scheme.url, RecordingWatcher())


def test_factory_may_refuse_the_url() -> None:
    class Strict(FakeNaming):
        def __init__(self, url: NamingUrl) -> None:
            raise url.error("a path is missing")

    with fake_scheme(Strict) as scheme:
        with pytest.raises(AddressError, match="a path is missing"):
            watch(scheme.url, RecordingWatcher())


def test_static_service_needs_no_thread() -> None:
    class Static(NamingService):
        is_static = True

        def fetch(self) -> list[str]:
            return ["a:1", "a:1", "b:1"]

    with fake_scheme(lambda url: Static()) as scheme:  # type: ignore[arg-type, return-value]
        scheme.first_answers = []
        with watching(scheme.url) as watcher:
            assert watcher.lists == [["a:1", "b:1"]]
