from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import pybrpc
from pybrpc.testing import FakeService, aio, assert_no_leaks, channel_for
from tests.fakes.threads import WAIT_S
from tests.peers.loops import LOOPS
from tests.peers.raw_peer import SERVICE, EchoRequest
from tests.peers.serving import EchoService

pytestmark = pytest.mark.same_everywhere

HELLO = EchoRequest(message="hello")
FAST: Any = {"grace": 0.01}
LEAVE_RUNNER = asyncio.Runner.__exit__
"""Without the watch of the test suite itself."""


def test_block_that_cleans_up_passes() -> None:
    with assert_no_leaks(grace=WAIT_S):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        with channel_for(SERVICE, EchoService()) as channel:
            pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S)


def test_thread_is_named_with_the_line_that_started_it() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="leaked-one")
    with pytest.raises(AssertionError, match=r"thread: 'leaked-one', started at .*test_leaks\.py:"):
        with assert_no_leaks(**FAST):
            thread.start()
    go_on.set()
    thread.join()


def test_descriptor_is_named_with_what_it_is() -> None:
    left: list[int] = []
    with pytest.raises(AssertionError, match=r"descriptor: \d+, which is .*pipe"):
        with assert_no_leaks(**FAST):
            left += os.pipe()
    for fd in left:
        os.close(fd)


def test_channel_that_was_not_closed_is_told_with_its_connection_and_server() -> None:
    check = assert_no_leaks(**FAST)
    check.__enter__()
    channel = channel_for(SERVICE, EchoService())
    pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S)
    with pytest.raises(AssertionError) as raised:
        check.__exit__(None, None, None)
    text = str(raised.value)
    for part in (
        "connection: <Socket",
        f"channel: <SingleConnections to {channel.endpoint}",
        f"server: {channel.endpoint}",
        "descriptor: ",
        "left over after 0.01 seconds",
    ):
        assert part in text
    channel.close()


def test_call_that_waits_is_told_for_a_channel_of_before() -> None:
    fake = FakeService(SERVICE)
    fake.Echo.never_answers()
    with channel_for(fake, timeout=None) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        stub.Echo.future(HELLO)
        channel.wait_ready(WAIT_S)
        with pytest.raises(AssertionError, match=r"call: of <SingleConnections to memory:"):
            with assert_no_leaks(**FAST):
                stub.Echo.future(HELLO)


def test_task_that_asyncio_run_would_cancel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.Runner, "__exit__", LEAVE_RUNNER)

    with pytest.raises(AssertionError, match=r"task: 'leaked-task', which waits at .*locks\.py:"):
        with assert_no_leaks(**FAST):
            asyncio.run(leave_one())


async def leave_one() -> None:
    """Return, and leave a task that waits."""
    asyncio.create_task(asyncio.Event().wait(), name="leaked-task")  # noqa: RUF006
    await asyncio.sleep(0)


def close_loop_at_once(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = new_loop()
    loop.run_until_complete(leave_one())
    loop.close()


def close_runner_without_with() -> None:
    runner = asyncio.Runner()
    runner.run(leave_one())
    runner.close()


def close_runner_within_its_block() -> None:
    with asyncio.Runner() as runner:
        runner.run(leave_one())
        runner.close()


@pytest.mark.parametrize(
    "leave",
    [
        *(functools.partial(close_loop_at_once, each) for each in LOOPS.values()),
        close_runner_without_with,
        close_runner_within_its_block,
    ],
    ids=[*LOOPS, "runner", "runner within its block"],
)
def test_task_of_a_loop_that_is_closed_is_told(
    monkeypatch: pytest.MonkeyPatch, leave: Callable[[], None]
) -> None:
    monkeypatch.setattr(asyncio.Runner, "__exit__", LEAVE_RUNNER)
    with pytest.raises(AssertionError, match="task: 'leaked-task', which waits at"):
        with assert_no_leaks(**FAST):
            leave()


def test_task_of_a_loop_in_another_thread_is_told_in_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asyncio.Runner, "__exit__", LEAVE_RUNNER)

    async def check() -> None:
        thread = threading.Thread(target=asyncio.run, args=(leave_one(),))
        async with assert_no_leaks(grace=0):
            thread.start()
            thread.join()

    with pytest.raises(AssertionError, match="task: 'leaked-task'"):
        asyncio.run(check())


async def waits_within(depth: int) -> None:
    """Wait for a task that waits for a task, and so on: a cancellation needs as many turns."""
    if depth:
        await asyncio.create_task(waits_within(depth - 1))
    await asyncio.Event().wait()


@pytest.mark.parametrize("times", [1, 2])
def test_task_that_was_canceled_and_waits_for_nothing_more_is_no_leak(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(asyncio.Runner, "__exit__", LEAVE_RUNNER)

    async def cancel() -> None:
        task = asyncio.create_task(waits_within(10))
        for _ in range(30):
            await asyncio.sleep(0)
        for _ in range(times):
            task.cancel()

    with assert_no_leaks(**FAST):
        asyncio.run(cancel())


async def cleans_up() -> None:
    """Need more time after a cancellation."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(600)


async def is_canceled_in_vain() -> None:
    """Wait again after a first cancellation."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


@pytest.mark.parametrize("function", [cleans_up, is_canceled_in_vain])
def test_task_that_was_canceled_and_still_waits_is_told(
    monkeypatch: pytest.MonkeyPatch, function: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    monkeypatch.setattr(asyncio.Runner, "__exit__", LEAVE_RUNNER)

    async def cancel() -> None:
        task = asyncio.create_task(function(), name="canceled-task")
        await asyncio.sleep(0)
        task.cancel()

    with pytest.raises(AssertionError, match=r"task: 'canceled-task', which waits at .*test_leaks"):
        with assert_no_leaks(**FAST):
            asyncio.run(cancel())


def test_runner_whose_block_raises_ends_as_before() -> None:
    async def fail() -> None:
        await leave_one()
        raise KeyError

    with assert_no_leaks(**FAST), pytest.raises(KeyError):
        asyncio.run(fail())


def test_check_that_is_used_again_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.Runner, "__exit__", LEAVE_RUNNER)
    check = assert_no_leaks(**FAST)

    with pytest.raises(AssertionError, match="task: "):
        with check:
            asyncio.run(leave_one())
    with check:
        pass


def test_task_of_the_running_loop_is_told() -> None:
    async def check() -> None:
        tasks = []
        with pytest.raises(AssertionError, match=r"task: 'leaked-task'"):
            async with assert_no_leaks(**FAST):
                tasks.append(asyncio.create_task(asyncio.Event().wait(), name="leaked-task"))
        tasks[0].cancel()

    asyncio.run(check())


def test_async_block_that_cleans_up_passes() -> None:
    async def check() -> None:
        async with assert_no_leaks(grace=WAIT_S):
            last = asyncio.create_task(asyncio.sleep(0.01))
            async with aio.channel_for(SERVICE, EchoService()) as channel:
                await pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S)
        assert last.done()  # it was waited for

    asyncio.run(check())


def test_what_was_there_before_and_what_ends_in_time_is_no_leak() -> None:
    go_on = threading.Event()
    before = threading.Thread(target=go_on.wait)
    before.start()
    with assert_no_leaks(grace=WAIT_S):
        threading.Timer(0.05, int).start()
    go_on.set()
    before.join()


def test_circle_of_references_is_no_leak() -> None:
    gc.disable()
    try:
        with assert_no_leaks(**FAST):
            reader, writer = os.pipe()
            circle: list[Any] = [open(reader, "rb"), open(writer, "wb")]  # noqa: SIM115
            for file in circle:
                file.close()
            circle.append(circle)
    finally:
        gc.enable()


def watched() -> list[object]:
    """The functions that are replaced while there are checks."""
    uvloop: Any = sys.modules.get("uvloop")
    loops = [asyncio.BaseEventLoop] if uvloop is None else [asyncio.BaseEventLoop, uvloop.Loop]
    own = [vars(loop).get("close") for loop in loops]
    return [threading.Thread.start, asyncio.Runner.__exit__, asyncio.Runner.close, *own]


def test_error_of_the_block_comes_out_and_nothing_is_patched_afterwards() -> None:
    before = watched()
    within: list[object] = []

    def look_and_raise() -> None:
        within.extend(watched())
        raise KeyError

    with pytest.raises(KeyError), assert_no_leaks():
        look_and_raise()
    assert watched() == before
    assert not {*map(id, before)} & {*map(id, within)}

    async def fail() -> None:
        async with assert_no_leaks():
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(fail())


def test_checks_may_end_in_the_order_in_which_they_began() -> None:
    start, leave = threading.Thread.start, asyncio.Runner.__exit__
    one, two = assert_no_leaks(**FAST), assert_no_leaks(**FAST)
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="leaked-one")
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert threading.Thread.start is not start
    thread.start()
    with pytest.raises(AssertionError, match=r"'leaked-one', started at .*test_leaks\.py:"):
        two.__exit__(None, None, None)
    assert threading.Thread.start is start
    assert asyncio.Runner.__exit__ is leave
    go_on.set()
    thread.join()


def test_wrong_use_is_told() -> None:
    async def enter() -> None:
        with assert_no_leaks():
            pass

    with pytest.raises(RuntimeError, match="async with assert_no_leaks"):
        asyncio.run(enter())
    with pytest.raises(TypeError):
        assert_no_leaks(grace=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="grace"):
        assert_no_leaks(grace=-1)


def test_check_without_a_block_says_that_it_checks_nothing() -> None:
    with pytest.warns(RuntimeWarning, match="has checked nothing: it is for `with`") as warned:
        assert_no_leaks()
    assert warned[0].filename == __file__


def test_method_that_the_block_has_replaced_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise AssertionError

    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)  # put back at the end
    with assert_no_leaks():
        threading.Thread.start = start  # type: ignore[method-assign]
    assert threading.Thread.start is start
