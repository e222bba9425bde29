"""How to write a client and a server, and where people come from: examples run, names exist."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
import pybrpc.server
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.client.channel.options import ChannelOptions
from pybrpc.server.settings import ServerOptions, ServiceOptions
from soak.echo_services import PlainEcho
from tests.peers.pages import ROOT, examples_of, run_page
from tests.peers.redis_server import free_port

pytestmark = pytest.mark.same_everywhere

SHOWN = "127.0.0.1:8000"
EXAMPLES = {
    "client.md": 4,
    "server.md": 2,
    "coming-from-grpcio.md": 2,
    "coming-from-brpc.md": 1,
    "why.md": 0,
    "cookbook.md": 0,
}
OPTIONS = {
    "Channel": set(ChannelOptions.__annotations__),
    "Server": set(ServerOptions.__annotations__),
    "add_service": set(ServiceOptions.__annotations__),
}
"""Class: the keywords that it takes."""

CALLED = re.compile(r"\b([A-Z][A-Za-z]+)\((?=[a-z_]+=)([^()]*)")
ATTRIBUTE = re.compile(r"`(?:await )?(server|controller|channel)\.([a-z_]+)")
OBJECTS: dict[str, Any] = {
    "server": pybrpc.Server,
    "controller": pybrpc.Controller,
    "channel": pybrpc.Channel,
}


@pytest.fixture
def names() -> dict[str, Any]:
    return {
        "asyncio": asyncio,
        "time": time,
        "pybrpc": pybrpc,
        "EchoRequest": EchoRequest,
        "EchoResponse": EchoResponse,
        "SERVICE": SERVICE,
    }


@pytest.fixture
def served() -> Iterator[str]:
    with pybrpc.Server() as server:
        server.add_service(SERVICE, PlainEcho())
        yield str(server.start("127.0.0.1:0"))


def test_client(names: dict[str, Any], served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/client.md", names, {SHOWN: served})
    expected = ["hello", "['0', '1', '2']", "['0', '1', '2']", "0 False"]
    assert capsys.readouterr().out.splitlines() == expected


def test_server(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    run_page("docs/server.md", names, {SHOWN: address})
    *lines, last, other = capsys.readouterr().out.splitlines()
    assert lines == [address, "before it listens"]
    assert {last, other} == {"still answered", "after the last answer"}  # of two threads


def test_coming_from_grpcio(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/coming-from-grpcio.md", names, {})
    expected = ["hello", "later", "20001 say something", "async"]
    assert capsys.readouterr().out.splitlines() == expected


def test_coming_from_brpc(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/coming-from-brpc.md", names, {})
    assert capsys.readouterr().out == "hello b'beside the message'\n"


@pytest.mark.parametrize("page", EXAMPLES)
def test_no_example_is_left_out(page: str) -> None:
    assert len(examples_of(f"docs/{page}")) == EXAMPLES[page]


@pytest.mark.parametrize("page", EXAMPLES)
def test_options_that_a_page_names_exist(page: str) -> None:
    for called, arguments in CALLED.findall((ROOT / "docs" / page).read_text()):
        if not hasattr(pybrpc, called):
            continue  # a message, or something of grpcio
        options = OPTIONS.get(called) or parameters(called)
        for option in re.findall(r"\b([a-z_]+)=", arguments):
            assert option in options, f"{called}({option}=)"


def parameters(called: str) -> set[str]:
    """The parameters of a class of pybrpc."""
    return set(inspect.signature(getattr(pybrpc, called)).parameters)


@pytest.mark.parametrize("page", ["client.md", "server.md", "coming-from-brpc.md"])
def test_attributes_that_a_page_names_exist(page: str) -> None:
    for name, attribute in ATTRIBUTE.findall((ROOT / "docs" / page).read_text()):
        assert hasattr(OBJECTS[name], attribute), f"{name}.{attribute}"


def test_the_page_for_cpp_names_every_option_of_a_channel_and_a_server() -> None:
    text = (ROOT / "docs/coming-from-brpc.md").read_text()
    elsewhere = {"version", "options", "runtime", "load_balancer", "checksum_with_attachment"}
    for called in ("Channel", "Server"):
        named = {
            option
            for name, arguments in CALLED.findall(text)
            if name == called
            for option in re.findall(r"\b([a-z_]+)=", arguments)
        }
        assert OPTIONS[called] - named <= elsewhere, called
