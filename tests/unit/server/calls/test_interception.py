"""Interception: a handler with interceptors around it is a handler of the same kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.rpc.controller import Controller
from pybrpc.rpc.interceptors.interceptor import checked_interceptors
from pybrpc.server.calls.interception import intercepted
from pybrpc.server.calls.method_entry import is_async_handler
from pybrpc.server.calls.service_registry import ServiceRegistry
from tests.peers.raw_peer import SERVICE
from tests.peers.serving import EchoService, async_echo, echo


def plain(call: Any, proceed: Any) -> Any:
    return proceed()


async def in_loop(call: Any, proceed: Any) -> Any:
    return await proceed()


def generator(call: Any, proceed: Any) -> Iterator[Any]:
    return f"{call.side} {call.method} {(yield proceed())}"


def handler(request: Any, controller: Controller) -> str:
    return f"{request} answered"


async def async_handler(request: Any, controller: Controller) -> str:
    return f"{request} answered"


def test_without_interceptors_the_handler_is_itself() -> None:
    assert intercepted(handler, (), "Echo") is handler


def test_kind_of_the_handler_stays() -> None:
    around = checked_interceptors([generator])
    controller = Controller()
    controller.method_name = "Echo"
    made: Any = intercepted(handler, around, "Echo")
    assert not is_async_handler(made)
    assert made("request", controller) == "server Echo request answered"
    made = intercepted(async_handler, around, "Echo")
    assert is_async_handler(made)
    assert asyncio.run(made("request", controller)) == "server Echo request answered"


def test_interceptors_that_can_t_run_there_are_refused_when_the_service_is_added() -> None:
    registry = ServiceRegistry(interceptors=checked_interceptors([in_loop]))
    with pytest.raises(TypeError, match="in_loop is an `async def`, and can't be used around the "):
        registry.add(SERVICE, EchoService(async_echo, echo))
    assert registry.service_names == []
    registry.add(SERVICE, EchoService(async_echo, async_echo))

    registry = ServiceRegistry(interceptors=checked_interceptors([plain]))
    with pytest.raises(TypeError, match=r"async handler of conformance.EchoService.Echo, whose"):
        registry.add(SERVICE, EchoService(async_echo, echo))
    with pytest.raises(TypeError, match=r"async handler of \*, whose loop it would block"):
        registry.add_generic(async_echo)
    registry.add(SERVICE, EchoService(echo, echo))
