"""Interceptors of channels: around blocking calls, futures, callbacks, awaited calls, streams."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.client.channel.intercepted import future_run
from pybrpc.errors import LimitReachedError, RpcError, RpcTimeoutError
from pybrpc.rpc.interceptors.interceptor import InterceptedCall
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse
from tests.peers.serving import Gate, make_server, start

FORMS = ["blocking", "future", "callback", "awaited"]
FORM = pytest.mark.parametrize("form", FORMS)
THREADS = ("blocking", "future", "callback")
HELLO = EchoRequest(message="hello")
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def fields(request: Any, controller: Any) -> Any:
    """Answers with the user fields too."""
    if request.message.lower() == "fail":
        raise LimitReachedError("too many")
    if controller.request_user_fields:
        controller.response_user_fields = controller.request_user_fields
    return EchoResponse(message=request.message)


@pytest.fixture
def address() -> Iterator[str]:
    with make_server(fields) as server:
        yield str(start(server))


def call(form: str, address: str, interceptors: Any, request: Any = HELLO, **options: Any) -> Any:
    """Call Echo in one of the forms; returns the response or raises the error."""
    if form == "awaited":
        return asyncio.run(awaited(address, interceptors, request, options))
    with pybrpc.Channel(address, timeout=20, interceptors=interceptors) as channel:
        echo = pybrpc.Stub(SERVICE, channel).Echo
        if form == "blocking":
            return echo(request, **options)
        if form == "future":
            return echo.future(request, **options).result(30)
        outcome: list[Any] = []
        ended = threading.Event()

        def done(response: Any, error: RpcError | None) -> None:
            outcome.extend((response, error))
            ended.set()

        echo.with_callback(request, done, **options)
        assert ended.wait(30)
        response, error = outcome
        if error is not None:
            raise error
        return response


async def awaited(address: str, interceptors: Any, request: Any, options: Any) -> Any:
    async with pybrpc.aio.Channel(address, timeout=20, interceptors=interceptors) as channel:
        return await pybrpc.Stub(SERVICE, channel).Echo(request, **options)


def shout(call: Any, proceed: Any) -> Iterator[Any]:
    response = yield proceed(EchoRequest(message=call.request.message.upper()))
    response.message += "!"
    return response


def plain_shout(call: Any, proceed: Any) -> Any:
    response = proceed(EchoRequest(message=call.request.message.upper()))
    response.message += "!"
    return response


async def async_shout(call: Any, proceed: Any) -> Any:
    await asyncio.sleep(0)
    response = await proceed(EchoRequest(message=call.request.message.upper()))
    response.message += "!"
    return response


def own_shout(form: str) -> Any:
    """The kind of interceptor that waits."""
    return async_shout if form == "awaited" else plain_shout


def raising(form: str, error: Any, is_late: bool = False) -> Any:
    """An interceptor of the kind that waits, which raises `error`."""

    def plain(call: Any, proceed: Any) -> Any:
        if is_late:
            proceed()
        raise error

    async def in_loop(call: Any, proceed: Any) -> Any:
        if is_late:
            await proceed()
        raise error

    return in_loop if form == "awaited" else plain


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


@pytest.fixture
def dead_address() -> str:
    """Nobody listens there."""
    return "127.0.0.1:1"


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


@pytest.mark.parametrize("form", ["future", "callback"])
def test_none_runs_in_the_thread_that_polls_and_blocking_ones_not_in_the_caller_s(
    form: str, address: str
) -> None:
    names: list[str] = []

    def where(call: Any, proceed: Any) -> Iterator[Any]:
        names.append(threading.current_thread().name)
        response = yield proceed()
        names.append(threading.current_thread().name)
        return response

    caller = threading.current_thread().name
    call(form, address, [where])
    call(form, address, [plain_shout, where])
    threads = "pybrpc-streams"
    assert names == [caller, threads, threads, threads]


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


def test_many_futures_need_no_thread_each() -> None:
    gate = Gate()
    count = 300
    with make_server(gate, max_workers=1) as server:
        with pybrpc.Channel(start(server), timeout=None, interceptors=[shout]) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            before = threading.active_count()
            futures = [stub.Echo.future(HELLO) for _ in range(count)]
            gate.wait_entered()
            assert threading.active_count() < before + 20
            gate.open()
            assert {future.result(30).message for future in futures} == {"HELLO!"}


@pytest.mark.parametrize("interceptor", [shout, plain_shout])
def test_cancel_of_a_future_ends_the_call(interceptor: Any) -> None:
    seen: list[str] = []

    def watch(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            return (yield proceed())
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    gate = Gate()
    with make_server(gate) as server:
        options: Any = {"timeout": None, "interceptors": [interceptor, watch]}
        with pybrpc.Channel(start(server), **options) as channel:
            future = pybrpc.Stub(SERVICE, channel).Echo.future(HELLO)
            called: list[bool] = []
            future.add_done_callback(lambda each: called.append(each.cancelled()))
            gate.wait_entered()
            assert not future.done()
            assert future.cancel()
            assert future.cancel()
            assert future.cancelled()
            assert called == [True]
            wait_until(lambda: seen == ["CancelledError"])
            gate.open()


def test_cancel_of_an_awaited_call_ends_the_call() -> None:
    seen: list[str] = []

    async def watch(call: Any, proceed: Any) -> Any:
        try:
            return await proceed()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    async def main(gate: Gate, address: Any) -> None:
        async with pybrpc.aio.Channel(address, timeout=None, interceptors=[watch]) as channel:
            task = asyncio.create_task(pybrpc.Stub(SERVICE, channel).Echo(HELLO))
            await asyncio.to_thread(gate.wait_entered)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.open()

    gate = Gate()
    with make_server(gate) as server:
        asyncio.run(main(gate, start(server)))
    assert seen == ["CancelledError"]


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


def test_deadline_of_a_served_request_reaches_calls_of_futures() -> None:
    """Also if they are started in another thread."""
    seen: list[Any] = []

    def far(request: Any, controller: Any) -> Any:
        seen.append(controller.timeout_ms)
        return EchoResponse(message="far")

    with make_server(far) as behind:
        options: Any = {"timeout": None, "interceptors": [plain_shout]}
        with pybrpc.Channel(start(behind), **options) as nested:
            stub = pybrpc.Stub(SERVICE, nested)

            def ask(request: Any, controller: Any) -> Any:
                return stub.Echo.future(HELLO).result(30)

            with make_server(ask) as server, pybrpc.Channel(start(server), timeout=20) as channel:
                assert pybrpc.Stub(SERVICE, channel).Echo(HELLO).message == "far!"
    (timeout_ms,) = seen
    assert 0 < timeout_ms <= 20_000


def test_future_in_a_callback_would_wait_for_itself(address: str) -> None:
    """The thread that polls must not wait for it."""
    raised: list[BaseException] = []
    with (
        pybrpc.Channel(address, timeout=20) as plain,
        pybrpc.Channel(address, timeout=20, interceptors=[shout]) as channel,
    ):
        ended = threading.Event()

        def wait_inside(response: Any, error: Any) -> None:
            try:
                pybrpc.Stub(SERVICE, channel).Echo.future(HELLO).result()
            except BaseException as would_deadlock:
                raised.append(would_deadlock)
            ended.set()

        pybrpc.Stub(SERVICE, plain).Echo.with_callback(HELLO, wait_inside)
        assert ended.wait(30)
    assert [type(error) for error in raised] == [pybrpc.errors.WouldDeadlockError]


def accept(request: Any, controller: Any) -> Any:
    controller.accept_stream(body=lambda stream: stream.send(b"hello"))
    return EchoResponse(message=request.message)


def test_streams_in_threads() -> None:
    seen: list[bool] = []

    def watch(call: Any, proceed: Any) -> Any:
        seen.append(call.is_stream)
        return plain_shout(call, proceed)

    with make_server(accept) as server:
        with pybrpc.Channel(start(server), timeout=20, interceptors=[watch]) as channel:
            with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO) as call:
                assert call.response.message == "HELLO!"
                assert call.stream.recv(timeout=30) == b"hello"
    assert seen == [True]


def test_streams_in_a_loop() -> None:
    async def main(address: Any) -> None:
        options: Any = {"timeout": 20, "interceptors": [async_shout, shout]}
        async with pybrpc.aio.Channel(address, **options) as channel:
            async with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO) as call:
                assert call.response.message == "HELLO!!"
                assert await call.stream.recv(timeout=30) == b"hello"

    with make_server(accept) as server:
        asyncio.run(main(start(server)))


def at_once(call: Any, proceed: Any) -> Iterator[Any]:
    return EchoResponse(message="at once")
    yield


def spoil(call: Any, proceed: Any) -> Iterator[Any]:
    yield proceed()
    raise ValueError("spoiled")


@pytest.mark.parametrize(
    ("interceptor", "error", "text"),
    [(at_once, TypeError, "opens streams, without them"), (spoil, ValueError, "spoiled")],
)
def test_streams_that_are_not_there_or_are_given_up(
    interceptor: Any, error: Any, text: str
) -> None:
    async def main(address: Any) -> None:
        async with pybrpc.aio.Channel(address, timeout=20, interceptors=[interceptor]) as channel:
            with pytest.raises(error, match=text):
                async with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO):
                    pass

    with make_server(accept) as server:
        address = start(server)
        with pybrpc.Channel(address, timeout=20, interceptors=[interceptor]) as channel:
            with pytest.raises(error, match=text):
                with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO):
                    pass
        asyncio.run(main(address))
        wait_until(lambda: server.statistics().streams == 0)


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


def test_interceptors_run_if_no_thread_can_be_started(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their last parts run in the thread that has the response: better than never."""

    def refuse(function: Any, owner: Any = None) -> None:
        raise RuntimeError("can't start new thread")

    threads = type("Full", (), {"put": staticmethod(refuse)})()
    monkeypatch.setattr(future_run, "callback_threads", lambda: threads)
    assert call("future", address, [shout]).message == "HELLO!"
    with pytest.raises(RuntimeError, match="can't start new thread"):
        call("future", address, [plain_shout])
