"""The pytest plugin, in runs of pytest of their own."""

from __future__ import annotations

import os
import tomllib
from typing import Any

import pytest

from tests.peers.pages import ROOT, examples_of

pytestmark = pytest.mark.same_everywhere

pytest_plugins = ["pytester"]

COMMON = """
import pybrpc
from pybrpc.testing import FakeService, ScriptedServer
from pybrpc.testing.faulty_proxy import CutAt, Faults
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse
from tests.peers.serving import EchoService
from tests.peers.typed_echo import EchoServiceBase, EchoServiceStub, TypedEcho

HELLO = EchoRequest(message="hello")
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs pytest on a test module, with the plugin as it is in this source tree."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(text: str, *arguments: str, common: str = COMMON) -> pytest.RunResult:
        pytester.makepyfile(common + text)
        own = ("-p", "pytest_pybrpc", "-p", "no:cacheprovider", "-q")
        return pytester.runpytest_subprocess(*own, *arguments, timeout=120)

    return run


def test_plugin_is_an_entry_point_under_the_name_of_its_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"pytest_pybrpc": "pytest_pybrpc"}
    assert project["tool"]["setuptools"]["py-modules"] == ["pytest_pybrpc"]


def test_fixtures_start_servers_channels_and_proxies(run: Any) -> None:
    text = """
def test_server(pybrpc_server, pybrpc_channel):
    server = pybrpc_server(SERVICE, EchoService(), max_concurrency=5)
    assert server.endpoint.port > 0
    stub = pybrpc.Stub(SERVICE, pybrpc_channel(str(server.endpoint), timeout=30))
    assert stub.Echo(HELLO).message == "hello"
    other = pybrpc_server(SERVICE, EchoService(), address="memory:")
    assert pybrpc.Stub(SERVICE, pybrpc_channel(other)).Echo(HELLO, timeout=30).message == "hello"

def test_channel_in_memory(pybrpc_channel):
    fake = FakeService(SERVICE)
    fake.Echo.answers(EchoResponse(message="hi"))
    channel = pybrpc_channel(fake, timeout=30)
    assert pybrpc.Stub(SERVICE, channel).Echo(HELLO).message == "hi"
    channel = pybrpc_channel(SERVICE, EchoService(), server_options={"max_concurrency": 1})
    assert pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=30).message == "hello"

def test_generated_classes(pybrpc_server, pybrpc_channel):
    server = pybrpc_server(TypedEcho(), max_concurrency=5)
    channel = pybrpc_channel(server.endpoint, timeout=30)
    assert EchoServiceStub(channel).Echo(HELLO).message == "hello"
    channel = pybrpc_channel(TypedEcho(), timeout=30)
    assert EchoServiceStub(channel).Echo(HELLO).message == "hello"
    fake = FakeService(EchoServiceBase)
    fake.Echo.answers(EchoResponse(message="hi"))
    stub = EchoServiceStub(pybrpc_channel(pybrpc_server(fake), timeout=30))
    assert stub.Echo(HELLO).message == "hi"

def test_proxy(pybrpc_server, pybrpc_channel, faulty_proxy):
    server = pybrpc_server(SERVICE, EchoService())
    for upstream in (server, server.endpoint, str(server.endpoint)):
        proxy = faulty_proxy(upstream, Faults(to_client=[CutAt(0)]))
        stub = pybrpc.Stub(SERVICE, pybrpc_channel(proxy.address, max_retry=0, timeout=30))
        try:
            stub.Echo(HELLO)
        except pybrpc.errors.ConnectionFailedError:
            continue
        raise AssertionError
"""
    run(text).assert_outcomes(passed=4)


def test_fixtures_take_the_arguments_that_their_types_say(run: Any) -> None:
    text = """
import inspect
from pybrpc.testing import ChannelFactory, ProxyFactory, ServerFactory

def positional(function):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in inspect.signature(function).parameters.values()
            if each.kind in kinds]

def test_names(
    pybrpc_server: ServerFactory, pybrpc_channel: ChannelFactory, faulty_proxy: ProxyFactory
) -> None:
    assert positional(pybrpc_server) == ["served", "impl"]
    assert positional(pybrpc_channel) == ["where", "impl"]
    assert positional(faulty_proxy) == ["upstream", "plan"]
    assert positional(ProxyFactory.__call__)[1:] == positional(faulty_proxy)

def test_several_addresses_may_be_any_iterable(pybrpc_server, pybrpc_channel):
    server = pybrpc_server(TypedEcho())
    for where in ([str(server.endpoint)], {server.endpoint}, iter([server.endpoint])):
        stub = EchoServiceStub(pybrpc_channel(where, timeout=30))
        assert stub.Echo(HELLO).message == "hello"

def test_service_that_is_iterable_is_no_list_of_addresses(pybrpc_channel):
    class Items(TypedEcho):
        def __iter__(self):
            return iter(["127.0.0.1:1"])

    assert EchoServiceStub(pybrpc_channel(Items(), timeout=30)).Echo(HELLO).message == "hello"
"""
    run(text).assert_outcomes(passed=3)


def test_all_ends_with_the_test_also_when_it_fails(run: Any) -> None:
    text = """
import threading

made = []

def test_that_fails(pybrpc_server, pybrpc_channel, faulty_proxy):
    server = pybrpc_server(SERVICE, EchoService())
    proxy = faulty_proxy(server)
    channel = pybrpc_channel(proxy.address)
    pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=30)
    made.extend([server, proxy, channel])
    assert False, "as it should"

def test_that_comes_next():
    server, proxy, channel = made
    assert not server.is_running
    assert channel.is_closed
    assert "closed" in repr(proxy)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "worker" in name or "proxy" in name], names
"""
    result = run(text)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*as it should*"])


def test_run_that_uses_no_fixture_does_not_import_pybrpc(run: Any) -> None:
    text = """
import sys

def test_imports():
    assert "pytest_pybrpc" in sys.modules
    assert "pybrpc" not in sys.modules
    assert "google.protobuf" not in sys.modules
"""
    run(text, common="").assert_outcomes(passed=1)


def test_fixtures_are_listed_with_what_they_do(run: Any) -> None:
    result = run("", "--fixtures", common="")
    for line in (
        "pybrpc_server -- *pytest_pybrpc.py:*",
        "*A function that starts a `pybrpc.Server` on a free port*",
        "pybrpc_channel -- *",
        "faulty_proxy -- *",
    ):
        result.stdout.fnmatch_lines([line])


def test_examples_of_the_page_run(run: Any) -> None:
    examples = examples_of("docs/testing.md")
    (example,) = [text for text in examples if "def test_" in text]
    run("EchoService = TypedEcho\n" + example).assert_outcomes(passed=2)


def test_wrong_arguments_fail_the_test_that_gave_them(run: Any) -> None:
    text = """
import pytest


def test_wrong(pybrpc_server, pybrpc_channel):
    with pytest.raises(TypeError, match="needs the object that serves"):
        pybrpc_server(SERVICE)
    for make in (pybrpc_server, pybrpc_channel):
        with pytest.raises(TypeError, match="or a service and the object"):
            make(EchoService())
        with pytest.raises(TypeError, match="TypedEcho is the class"):
            make(TypedEcho)
    with pytest.raises(pybrpc.errors.AddressError):
        pybrpc_channel("nowhere")
"""
    run(text).assert_outcomes(passed=1)
