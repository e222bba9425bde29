"""Functions of streams: those of the options, and bodies, in threads and in loops."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import warnings
import weakref
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    InternalServerError,
    StreamResetError,
)
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.stream_functions import (
    SIDES,
    Functions,
    Odd,
    form_of,
    options_of,
    raised_in,
)
from tests.peers.streams import (
    THREADS,
    Accepting,
    accepting,
    client_of,
    every_pair,
    opened,
    run_in,
    served,
    wait_until_idle,
)


@every_pair
@SIDES
def test_functions_are_called_in_order_and_never_two_at_once(sides: str, side: str) -> None:
    functions = Functions(form_of(sides, side))
    options = functions.options(
        "on_messages", "on_closed", "on_idle_timeout", idle_timeout=0.001, messages_in_batch=7
    )
    with opened(sides, *options_of(side, options)) as pair:
        mine, other = pair.client, pair.server
        if side == "server":
            mine, other = other, mine
        sent = [b"%d" % i for i in range(1000)]
        for message in sent:
            other.send(message, timeout=WAIT_S)
        other.close(WAIT_S)
        assert functions.wait_end() is None
        assert functions.messages == sent
        assert max(len(batch) for name, batch in functions.notes if batch) <= 7
        assert functions.most_running == 1
        assert functions.streams == {mine.inner}
        wait_until_idle(pair)


@every_pair
@SIDES
def test_messages_of_functions_can_not_be_received(sides: str, side: str) -> None:
    functions = Functions(form_of(sides, side))
    with opened(sides, *options_of(side, functions.options("on_messages"))) as pair:
        mine = pair.client if side == "client" else pair.server
        for use in (mine.recv, lambda: next(iter(mine.batches())), lambda: next(iter(mine))):
            with pytest.raises(RuntimeError, match="on_messages gets the messages of this stream"):
                use()


@every_pair
@SIDES
def test_stream_with_other_functions_is_received_from(sides: str, side: str) -> None:
    """Its messages are taken first; then comes the end."""
    functions = Functions(form_of(sides, side))
    with opened(sides, *options_of(side, functions.options("on_closed"))) as pair:
        mine, other = pair.client, pair.server
        if side == "server":
            mine, other = other, mine
        other.send(b"unread", timeout=WAIT_S)
        other.close(WAIT_S)
        wait_until(lambda: bool(mine.inner._core.has_ended))
        assert functions.ends == []
        assert mine.recv(WAIT_S) == b"unread"
        assert functions.wait_end() is None


@every_pair
@SIDES
def test_messages_are_consumed_when_their_function_has_returned(sides: str, side: str) -> None:
    functions = Functions(form_of(sides, side))
    with opened(sides, *options_of(side, functions.options("on_messages"))) as pair:
        other = pair.server if side == "client" else pair.client
        functions.opened.clear()
        other.send(b"one", timeout=WAIT_S)
        wait_until(lambda: functions.running == 1)
        assert other.unconsumed_bytes == 3
        waits = other.start("wait_consumed", WAIT_S)
        functions.opened.set()
        waits.result()
        assert functions.messages == [b"one"]


@every_pair
@SIDES
@pytest.mark.parametrize("error", [ValueError("odd"), Odd("odd")], ids=["Exception", "Odd"])
def test_function_that_raises_resets_the_stream(
    sides: str, side: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    functions = Functions(form_of(sides, side), {"on_messages": error})
    options = functions.options("on_messages", "on_closed")
    with opened(sides, *options_of(side, options), streams=2) as pair:
        ours, theirs = pair.clients, pair.servers
        if side == "server":
            ours, theirs = theirs, ours
        theirs[0].send(b"x", timeout=WAIT_S)
        found = functions.wait_end()
        assert isinstance(found, StreamResetError)
        assert found.text.endswith(f": on_messages raised {type(error).__name__}")
        assert isinstance(theirs[0].wait_closed(WAIT_S), StreamResetError)
        assert isinstance(ours[0].failure, StreamResetError)
        logged = [record for record in caplog.records if record.exc_info]
        assert [record.exc_info[1] for record in logged if record.exc_info] == [error]
        text = f"on_messages of the stream {ours[0].id} with {ours[0].peer} raised"
        assert logged[0].getMessage().startswith(text)
        functions._raises.clear()
        theirs[1].send(b"goes on", timeout=WAIT_S)
        wait_until(lambda: b"goes on" in functions.messages)


@every_pair
@SIDES
@pytest.mark.parametrize("error", [ValueError("odd"), Odd("odd")], ids=["Exception", "Odd"])
def test_other_functions_may_raise(
    sides: str, side: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    functions = Functions(form_of(sides, side), {"on_idle_timeout": error, "on_closed": error})
    options = functions.options("on_closed", "on_idle_timeout", idle_timeout=0.005)
    with opened(sides, *options_of(side, options)) as pair:
        mine, other = pair.client, pair.server
        if side == "server":
            mine, other = other, mine
        wait_until(lambda: len(functions.notes) >= 3)
        other.send(b"x", timeout=WAIT_S)
        assert mine.recv(WAIT_S) == b"x"
        other.close(WAIT_S)
        assert functions.wait_end() is None
        wait_until_idle(pair)
        wait_until(lambda: len(raised_in(caplog)) == len(functions.notes))
    assert set(raised_in(caplog)) == {error}


@every_pair
@SIDES
@pytest.mark.parametrize("end", ["close", "reset"])
def test_function_that_sends_when_its_peer_is_gone_is_no_error(
    sides: str, side: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets all that came before a close, though it can answer none of it."""
    caplog.set_level(logging.INFO)
    entered = threading.Event()
    got: list[bytes] = []

    def answer(stream: Any, messages: list[bytes]) -> None:
        entered.set()
        wait_until(lambda: bool(stream.is_closed))
        got.extend(messages)
        stream.send_nowait(b"late")

    async def answer_async(stream: Any, messages: list[bytes]) -> None:
        entered.set()
        while not stream.is_closed:
            await asyncio.sleep(0.001)
        answer(stream, messages)

    functions = Functions(form_of(sides, side))
    function = answer_async if functions.is_async else answer
    options = functions.options("on_closed", on_messages=function, messages_in_batch=1)
    with opened(sides, *options_of(side, options)) as pair:
        other = pair.server if side == "client" else pair.client
        other.send_many([b"one", b"two"], timeout=WAIT_S)
        assert entered.wait(WAIT_S)
        if end == "close":
            other.close(WAIT_S)
            assert functions.wait_end() is None
            assert got == [b"one", b"two"]
        else:
            other.reset()
            assert isinstance(functions.wait_end(), StreamResetError)
            assert got[:1] == [b"one"]
        wait_until_idle(pair)
    assert raised_in(caplog) == []


@every_pair
@SIDES
def test_function_may_use_its_stream(sides: str, side: str) -> None:
    """Send, and close it, for instance."""
    form = form_of(sides, side)

    def answer(stream: Any, messages: list[bytes]) -> None:
        for message in messages:
            stream.send(b"re:" + message, timeout=WAIT_S)
        stream.close(WAIT_S)

    async def answer_async(stream: Any, messages: list[bytes]) -> None:
        for message in messages:
            await stream.send(b"re:" + message, timeout=WAIT_S)
        await stream.close(WAIT_S)

    ends: list[Any] = []
    options = pybrpc.StreamOptions(
        on_messages=answer if form == THREADS else answer_async,
        on_closed=lambda stream, error: ends.append(error),
    )
    with opened(sides, *options_of(side, options)) as pair:
        other = pair.server if side == "client" else pair.client
        other.send(b"question", timeout=WAIT_S)
        assert list(other) == [b"re:question"]
        wait_until(lambda: ends == [None])
        wait_until_idle(pair)


@pytest.mark.parametrize("sides", ["threads-threads"])
def test_functions_that_block_leave_others_alone(sides: str) -> None:
    blocked, free = Functions(THREADS), Functions(THREADS)
    blocked.opened.clear()
    with opened(sides, server_options=blocked.options("on_messages"), streams=8) as pair:
        for stream in pair.clients:
            stream.send(b"x")
        wait_until(lambda: blocked.running == 8)
        service = Accepting(free.options("on_messages"))
        with served(service) as server, client_of(THREADS, server.endpoint) as client:
            call = client.open()
            (stream,) = client.streams_of(call)
            stream.send(b"free")
            wait_until(lambda: free.messages == [b"free"])
            call.close(WAIT_S)
        blocked.opened.set()
        wait_until(lambda: len(blocked.messages) == 8)


def test_async_functions_are_refused_where_threads_call() -> None:
    async def function(*arguments: Any) -> None: ...

    options = pybrpc.StreamOptions(on_closed=function)
    with opened("threads-threads") as pair:
        with pytest.raises(TypeError, match=r"is an async function: here streams are for threads"):
            pair.of_client.stream(options=options)
    with served(Accepting(options)) as server, client_of(THREADS, server.endpoint) as client:
        with pytest.raises(InternalServerError):
            client.open()


@pytest.mark.parametrize("sides", ["threads-threads"])
def test_function_that_returns_a_coroutine_is_a_mistake(
    sides: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def function() -> None: ...

    options = pybrpc.StreamOptions(on_messages=lambda stream, messages: function())
    with opened(sides, server_options=options) as pair:
        pair.client.send(b"x")
        assert isinstance(pair.client.wait_closed(WAIT_S), StreamResetError)
    assert "on_messages must be a plain function here, not an async one" in caplog.text


@pytest.mark.parametrize("name", ["on_messages", "on_closed", "on_idle_timeout"])
def test_function_must_be_one(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a function or None, not 3"):
        pybrpc.StreamOptions(**{name: 3})  # type: ignore[arg-type]


@every_pair
@SIDES
def test_on_messages_that_waits_for_the_end_is_told(sides: str, side: str) -> None:
    """The end comes when it has returned."""
    raised: list[BaseException] = []
    over = threading.Event()

    def wait_closed(stream: Any, messages: list[bytes]) -> None:
        stream.wait_closed()

    async def wait_closed_async(stream: Any, messages: list[bytes]) -> None:
        await stream.wait_closed()

    def on_closed(stream: Any, error: Any) -> None:
        raised.append(error)
        over.set()

    on_messages = wait_closed if form_of(sides, side) == THREADS else wait_closed_async
    options = pybrpc.StreamOptions(on_messages=on_messages, on_closed=on_closed)
    with opened(sides, *options_of(side, options)) as pair:
        (pair.server if side == "client" else pair.client).send(b"x", timeout=WAIT_S)
        assert over.wait(WAIT_S)
    assert "on_messages raised WouldDeadlockError" in str(raised[0])


def test_on_closed_ends_though_its_loop_does() -> None:
    """asyncio.run cancels the tasks that there are, and does not wait for later ones."""
    notes: list[str] = []

    async def on_messages(stream: Any, messages: list[bytes]) -> None:
        notes.append("begun")
        await asyncio.Event().wait()

    async def on_closed(stream: Any, error: Any) -> None:
        await asyncio.sleep(0)
        notes.append(type(error).__name__)

    async def main(address: str) -> None:
        channel = pybrpc.aio.Channel(address)
        options = pybrpc.StreamOptions(on_messages=on_messages, on_closed=on_closed)
        call = pybrpc.Stub(ECHO, channel).Echo.stream(echo_request(), options=options)
        await call.open()
        await call.stream.send(b"x")
        while not notes:
            await asyncio.sleep(0.001)
        raise Odd

    service = accepting(THREADS, body=lambda stream: stream.send(stream.recv()))
    with served(service) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(Odd):  # so that nobody waits for the tasks before
            asyncio.run(main(str(server.endpoint)))
    assert notes[0] == "begun"
    assert len(notes) == 2


@pytest.mark.parametrize("side", ["client", "server"])
def test_task_that_is_cancelled_before_it_begins_resets_the_stream(side: str) -> None:
    """As programs do that cancel all tasks at their end: `on_closed` is called all the same."""
    sides = "asyncio-asyncio"
    functions = Functions("asyncio")
    options = functions.options("on_messages", "on_closed")
    with opened(sides, *options_of(side, options)) as pair:
        ours, theirs = (
            (pair.client, pair.server) if side == "client" else (pair.server, pair.client)
        )

        async def start_and_cancel() -> None:
            consumer = ours.inner._core.consumer
            assert consumer._is_scheduled.try_set()
            consumer._start()
            consumer._task.cancel()

        run_in(ours.loop, start_and_cancel())
        error = theirs.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        wait_until(lambda: bool(functions.notes))
        wait_until_idle(pair)


def test_streams_of_a_loop_that_is_over_are_collected() -> None:
    budget = default_runtime().stream_budget
    cores: list[Any] = []

    async def main(address: str) -> None:
        channel = pybrpc.aio.Channel(address)
        options = pybrpc.StreamOptions(on_messages=lambda stream, messages: None)
        call = pybrpc.Stub(ECHO, channel).Echo.stream(echo_request(), options=options)
        await call.open()
        cores.append(weakref.ref(call.stream._core))
        raise Odd

    with served(accepting(THREADS)) as server:
        for _ in range(3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                with pytest.raises(Odd):
                    asyncio.run(main(str(server.endpoint)))
        gc.collect()
        assert [core() for core in cores[:2]] == [None] * 2  # the last traceback has the third
        assert not budget.held_bytes
