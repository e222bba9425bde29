"""Interceptors of channels: around blocking calls, futures, callbacks, awaited calls."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import LimitReachedError, RpcError, RpcTimeoutError
from pybrpc.rpc.interceptors.interceptor import InterceptedCall
from tests.peers.intercepting import (
    FORM,
    HELLO,
    THREADS,
    async_shout,
    call,
    own_shout,
    plain_shout,
    serving_fields,
    shout,
)
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse
from tests.peers.serving import make_server, start

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


@pytest.fixture
def address() -> Iterator[str]:
    with serving_fields() as address:
        yield address


@FORM
def test_request_and_response_can_be_changed(form: str, address: str) -> None:
    assert call(form, address, [shout, shout]).message == "HELLO!!"
    assert call(form, address, [own_shout(form)]).message == "HELLO!"
    assert call(form, address, [own_shout(form), shout]).message == "HELLO!!"
    assert call(form, address, []).message == "hello"


@FORM
def test_what_a_call_shows_and_user_fields_that_are_added(form: str, address: str) -> None:
    seen: list[InterceptedCall] = []

    def sign(call: Any, proceed: Any) -> Iterator[Any]:
        seen.append(call)
        call.metadata["signature"] = "s"
        return (yield proceed())

    controller = pybrpc.Controller(log_id=5)
    assert call(form, address, [sign], controller=controller).message == "hello"
    assert call(form, address, [sign]).message == "hello"
    first, second = seen
    assert first.controller is controller
    assert controller.response_user_fields == {"signature": "s"}
    assert second.controller.response_user_fields == {"signature": "s"}
    assert (first.side, first.method) == ("client", "conformance.EchoService.Echo")
    assert (str(first.peer), first.is_stream) == (address, False)
    assert repr(first) == f"<InterceptedCall of conformance.EchoService.Echo to {address}>"


@FORM
def test_short_circuit_needs_no_server(form: str, dead_address: str) -> None:
    def cached(call: Any, proceed: Any) -> Iterator[Any]:
        return EchoResponse(message="cached")
        yield

    assert call(form, dead_address, [shout, cached]).message == "cached!"

    def refuse(call: Any, proceed: Any) -> Iterator[Any]:
        raise RpcTimeoutError("no")
        yield

    with pytest.raises(RpcTimeoutError):
        call(form, dead_address, [shout, refuse])


@FORM
def test_both_parts_run_in_one_context(form: str, address: str) -> None:
    def note(call: Any, proceed: Any) -> Iterator[Any]:
        token = variable.set("inside")
        response = yield proceed()
        response.message = variable.get()
        variable.reset(token)
        return response

    assert call(form, address, [note]).message == "inside"
    assert call(form, address, [own_shout(form), note]).message == "inside!"
    assert variable.get() == "none"


def test_awaited_call_can_be_used_as_one_without_interceptors(address: str) -> None:
    async def main() -> None:
        async with pybrpc.aio.Channel(address, timeout=20, interceptors=[shout]) as channel:
            echo = pybrpc.Stub(SERVICE, channel).Echo
            assert (await asyncio.create_task(echo(HELLO))).message == "HELLO!"
            both = await asyncio.gather(echo(HELLO), echo(HELLO))
            assert [each.message for each in both] == ["HELLO!"] * 2
            async with asyncio.timeout(20):
                assert (await echo(HELLO)).message == "HELLO!"
            failing = asyncio.create_task(echo(EchoRequest(message="fail")))
            with pytest.raises(RpcError):
                await failing
            echo(HELLO).close()
            unasked = echo(HELLO)
            assert unasked.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("form", THREADS)
def test_wrong_options_are_errors_at_once(form: str, address: str) -> None:
    with pybrpc.Channel(address, interceptors=[shout]) as channel:
        echo = pybrpc.Stub(SERVICE, channel).Echo
        begin: dict[str, Any] = {
            "blocking": echo,
            "future": echo.future,
            "callback": lambda request, **options: echo.with_callback(request, print, **options),
        }
        with pytest.raises(ValueError, match="timeout"):
            begin[form](HELLO, timeout=-1)
        with pytest.raises(TypeError, match="controller"):
            echo(HELLO, controller=5)
        with pytest.raises(TypeError, match="done must be a function"):
            echo.with_callback(HELLO, None)


def test_kinds_that_would_block_or_not_run_are_refused() -> None:
    with pytest.raises(TypeError, match=r"async_shout is an `async def`, and can't be used by a "):
        pybrpc.Channel("127.0.0.1:1", interceptors=[async_shout])
    with pytest.raises(TypeError, match=r"plain_shout is a plain function, .*whose loop it would"):
        pybrpc.aio.Channel("127.0.0.1:1", interceptors=[plain_shout])
    with pytest.raises(TypeError, match="list of functions"):
        pybrpc.Channel("127.0.0.1:1", interceptors=shout)  # type: ignore[arg-type]


def test_raw_methods_are_intercepted_too(address: str) -> None:
    def replace(call: Any, proceed: Any) -> Any:
        assert call.request == HELLO.SerializeToString()
        return proceed(EchoRequest(message="other").SerializeToString()) + b""

    with pybrpc.Channel(address, timeout=20, interceptors=[replace]) as channel:
        method = channel.raw_method("conformance.EchoService", "Echo")
        for body in (
            method(HELLO.SerializeToString()),
            method.future(HELLO.SerializeToString()).result(30),
        ):
            assert EchoResponse.FromString(body).message == "other"


def test_one_run_for_a_call_that_is_retried() -> None:
    runs: list[str] = []
    attempts: list[str] = []

    def count(call: Any, proceed: Any) -> Any:
        runs.append(call.method)
        return proceed()

    def fail_once(request: Any, controller: Any) -> Any:
        attempts.append(request.message)
        if len(attempts) == 1:
            raise LimitReachedError("once more")
        return EchoResponse(message="at last")

    class Again(pybrpc.RetryPolicy):
        def may_retry(self, error: RpcError) -> bool:
            return error.code == pybrpc.ErrorCode.ELIMIT

    with make_server(fail_once) as server:
        policy = Again(may_have_run=True)
        options: Any = {"timeout": 20, "retry_policy": policy, "interceptors": [count]}
        with pybrpc.Channel(start(server), **options) as channel:
            assert pybrpc.Stub(SERVICE, channel).Echo(HELLO).message == "at last"
    assert (len(runs), len(attempts)) == (1, 2)
