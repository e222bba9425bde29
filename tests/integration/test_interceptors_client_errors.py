"""Interceptors of channels, and errors: of the call, and of the interceptors themselves."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import LimitReachedError, RpcError
from tests.fakes.threads import wait_until
from tests.peers.intercepting import (
    FORM,
    HELLO,
    THREADS,
    call,
    plain_shout,
    raising,
    serving_fields,
    shout,
)
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse


@pytest.fixture
def address() -> Iterator[str]:
    with serving_fields() as address:
        yield address


@FORM
def test_errors_of_the_call_are_seen_and_can_be_replaced(form: str, address: str) -> None:
    seen: list[int] = []

    def watch(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            return (yield proceed())
        except RpcError as error:
            seen.append(error.code)
            raise

    def instead(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            return (yield proceed())
        except RpcError:
            return EchoResponse(message="instead")

    failing = EchoRequest(message="fail")
    with pytest.raises(LimitReachedError, match="too many"):
        call(form, address, [watch], failing)
    assert call(form, address, [instead, watch], failing).message == "instead"
    assert seen == [pybrpc.ErrorCode.ELIMIT] * 2


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("error", [ValueError("text"), LimitReachedError("full"), MemoryError()])
@FORM
def test_caller_gets_what_one_raises(
    form: str, address: str, error: Exception, is_late: bool
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any
        call(form, address, [shout, raising(form, error, is_late)])
    if form == "callback" and not isinstance(error, RpcError):
        assert isinstance(raised.value, RpcError)
        assert raised.value.code == pybrpc.ErrorCode.EINTERNAL
        assert raised.value.__cause__ is error
        kind = type(error).__name__
        assert f"an interceptor of conformance.EchoService.Echo raised {kind}" in str(raised.value)
    else:
        assert raised.value is error


@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
@pytest.mark.parametrize("form", ["future", "callback"])
def test_one_that_raises_an_exit_ends_no_thread(form: str, address: str, error: Any) -> None:
    with pytest.raises(RpcError if form == "callback" else error):
        call(form, address, [raising(form, error)])
    assert call(form, address, [plain_shout]).message == "HELLO!"


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_one_that_raises_an_exit_ends_no_loop(address: str, error: Any) -> None:
    async def main() -> None:
        interceptors = [raising("awaited", error)]
        async with pybrpc.aio.Channel(address, interceptors=interceptors) as channel:
            for _ in range(2):
                with pytest.raises(RpcError) as raised:
                    await pybrpc.Stub(SERVICE, channel).Echo(HELLO)
                assert raised.value.code == pybrpc.ErrorCode.EINTERNAL
                assert isinstance(raised.value.__cause__, error)

    asyncio.run(main())


@FORM
def test_one_that_forgets_the_response_is_told(form: str, address: str) -> None:
    def forgets(call: Any, proceed: Any) -> Iterator[Any]:
        yield proceed()

    expected = RpcError if form == "callback" else TypeError
    with pytest.raises(expected, match="forgets returned None"):
        call(form, address, [forgets])


def test_callback_that_raises_or_is_async_is_logged(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Semaphore(0)

    def raises(response: Any, error: Any) -> None:
        ended.release()
        raise SystemExit

    async def in_loop(response: Any, error: Any) -> None: ...

    with pybrpc.Channel(address, timeout=20, interceptors=[shout]) as channel:
        echo = pybrpc.Stub(SERVICE, channel).Echo
        echo.with_callback(HELLO, raises)
        assert ended.acquire(timeout=30)
        echo.with_callback(HELLO, in_loop)
        wait_until(lambda: "is an async function, and is not run" in caplog.text)
        raised = "a done callback of a call of conformance.EchoService.Echo raised"
        wait_until(lambda: raised in caplog.text)


def ended_by(echo: Any, form: str) -> weakref.ref[RpcError]:
    """Let a call fail. Returns a weak reference to its error."""
    failing = EchoRequest(message="fail")
    if form == "callback":
        kept: list[weakref.ref[RpcError]] = []
        ended = threading.Event()

        def done(response: Any, error: RpcError) -> None:
            kept.append(weakref.ref(error))
            ended.set()

        echo.with_callback(failing, done)
        assert ended.wait(30)
        return kept[0]
    try:
        if form == "future":
            echo.future(failing).result(30)
        else:
            echo(failing)
    except RpcError as error:
        return weakref.ref(error)
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("form", THREADS)
def test_errors_go_with_their_last_reference(form: str, address: str) -> None:
    """They are in no cycle, so they keep no call alive until the garbage collector runs."""
    for interceptors in ([shout, shout], [shout, plain_shout]):
        with pybrpc.Channel(address, timeout=20, interceptors=interceptors) as channel:
            echo = pybrpc.Stub(SERVICE, channel).Echo
            gc.collect()
            gc.disable()
            try:
                error = ended_by(echo, form)
                wait_until(lambda error=error: error() is None)  # type: ignore[misc]
            finally:
                gc.enable()
