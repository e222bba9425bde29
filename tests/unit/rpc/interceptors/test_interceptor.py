"""Interceptor: which functions are accepted, of which kind they are; what a call shows."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.interceptors.interceptor import InterceptedCall, Kind, checked_interceptors


def plain(call: Any, proceed: Any) -> Any:
    return proceed()


async def in_loop(call: Any, proceed: Any) -> Any:
    return await proceed()


def generator(call: Any, proceed: Any) -> Iterator[Any]:
    return (yield proceed())


async def async_generator(call: Any, proceed: Any) -> AsyncIterator[Any]:
    yield proceed()


class Plain:
    def __call__(self, call: Any, proceed: Any) -> Any:
        return proceed()

    async def method(self, call: Any, proceed: Any) -> Any:
        return await proceed()


class InLoop:
    async def __call__(self, call: Any, proceed: Any) -> Any:
        return await proceed()


class Generator:
    def __call__(self, call: Any, proceed: Any) -> Iterator[Any]:
        return (yield proceed())


def one_argument(call: Any) -> Any: ...


class OneArgument:
    def __call__(self, call: Any) -> Any: ...


def with_option(option: int, call: Any, proceed: Any) -> Any: ...


@pytest.mark.parametrize(
    ("function", "kind", "name"),
    [
        (plain, Kind.PLAIN, "plain"),
        (Plain(), Kind.PLAIN, "Plain"),
        (functools.partial(with_option, 1), Kind.PLAIN, "partial"),
        (lambda call, proceed: proceed(), Kind.PLAIN, "<lambda>"),
        (in_loop, Kind.ASYNC, "in_loop"),
        (InLoop(), Kind.ASYNC, "InLoop"),
        (Plain().method, Kind.ASYNC, "Plain.method"),
        (functools.partial(in_loop), Kind.ASYNC, "partial"),
        (generator, Kind.GENERATOR, "generator"),
        (Generator(), Kind.GENERATOR, "Generator"),
    ],
)
def test_kinds(function: Any, kind: Kind, name: str) -> None:
    (interceptor,) = checked_interceptors([function])
    assert interceptor.kind is kind
    assert interceptor.function is function
    assert interceptor.name == name


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (plain, "interceptors must be a list of functions, not <function plain"),
        ("plain", "interceptors must be a list of functions, not 'plain'"),
        (None, "interceptors must be a list of functions, not None"),
        ([None], "interceptors must be functions of a call and proceed, not None"),
        ([Plain], "the class Plain: make an object of it"),
        ([one_argument], r"one_argument is called as intercept\(call, proceed\): too many"),
        ([OneArgument()], r"OneArgument is called as intercept\(call, proceed\): too many"),
        ([async_generator], "is an async generator: leave out `async`"),
    ],
)
def test_others_are_refused(wrong: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        checked_interceptors(wrong)


def test_a_kind_that_can_t_be_used_is_told_what_can() -> None:
    (interceptor,) = checked_interceptors([plain])
    interceptor.check_is_no(Kind.ASYNC, "here", "a plain function")
    with pytest.raises(TypeError) as raised:
        interceptor.check_is_no(Kind.PLAIN, "in a loop", "an `async def`")
    assert str(raised.value) == (
        "the interceptor plain is a plain function, and can't be used in a loop: make it an "
        "`async def`, or a generator function (`response = yield proceed()`), which can be used "
        "everywhere"
    )


def test_call_shows_what_it_is_but_no_secrets() -> None:
    controller = Controller()
    controller.request_user_fields = {"authorization": "secret"}
    where = Endpoint.parse("127.0.0.1:80")
    call = InterceptedCall("server", "a.Service.Method", "request", controller, where, False)
    assert call.metadata == {"authorization": "secret"}
    assert repr(call) == "<InterceptedCall of a.Service.Method from 127.0.0.1:80>"
    assert not call.may_lack_response()
    controller.set_failed(5, "no")
    assert call.may_lack_response()
    client = InterceptedCall("client", "a.Service.Method", "request", controller, where, True)
    assert not client.may_lack_response()
    assert "may_lack_response" not in dir(client)
