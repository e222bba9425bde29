"""Failed calls leave nothing that only the garbage collector would free."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import OvercrowdedError, RpcError, RpcTimeoutError
from pybrpc.lowlevel import EpollDispatcher, IOBuf, Socket
from pybrpc.transport.writing.process_backlog import ProcessBacklog
from tests.cases.child import run_in_child
from tests.cases.peers import PATIENT_S, echo_stub, serving, waited_for
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import closed_port

CALLS = 100
MOST = 3
"""How many of them may leave something: what others do meanwhile."""
FAILS = {"fail_code": 77, "fail_text": "says the handler"}


class Held(bytearray):
    """A local variable of the caller."""


def hold(references: list[weakref.ref[Any]]) -> Held:
    held = Held(10)
    references.append(weakref.ref(held))
    return held


def blocking(references: list[Any], stub: Any, **fields: Any) -> None:
    _held = hold(references)
    with contextlib.suppress(RpcError):
        stub.Echo(echo_request(**fields))


def future(references: list[Any], stub: Any, **fields: Any) -> None:
    _held = hold(references)
    with contextlib.suppress(RpcError):
        stub.Echo.future(echo_request(**fields)).result(PATIENT_S)


def future_exception(references: list[Any], stub: Any, **fields: Any) -> None:
    made = stub.Echo.future(echo_request(**fields))
    references.append(weakref.ref(made))
    made.exception(PATIENT_S)


def callback(references: list[Any], stub: Any, **fields: Any) -> None:
    held, is_done = hold(references), threading.Event()
    stub.Echo.with_callback(echo_request(**fields), lambda *_, held=held: is_done.set())
    is_done.wait(PATIENT_S)


def timeout(references: list[Any], stub: Any, **fields: Any) -> None:
    _held = hold(references)
    with contextlib.suppress(RpcError):
        stub.Echo(echo_request(sleep_ms=3), timeout=0.001)


FORMS: dict[str, Callable[..., None]] = {
    "blocking": blocking,
    "future": future,
    "future.exception": future_exception,
    "callback": callback,
    "timeout": timeout,
}


def garbage_of(form: str, way: str) -> list[int]:
    """How many objects of callers, and how many cycles, are left by so many calls."""
    with contextlib.ExitStack() as stack:
        fields: dict[str, Any] = {}
        if way == "refused":
            stub = echo_stub(stack.enter_context(closed_port()), max_retry=0)
        else:
            stub = echo_stub(stack.enter_context(serving()))
            fields = FAILS
        call = FORMS[form]
        call([], stub, **fields)
        gc.collect()
        gc.disable()
        references: list[weakref.ref[Any]] = []
        for _ in range(CALLS):
            call(references, stub, **fields)
        waited_for(lambda: not any(reference() is not None for reference in references), 0.5)
        kept = sum(reference() is not None for reference in references)
        found = gc.collect()
        gc.enable()
        return [kept, found]


@pytest.mark.parametrize("form", FORMS)
def test_call_that_the_handler_fails_leaves_no_reference_cycle(form: str) -> None:
    kept, found = garbage_of(form, "fails")
    assert kept <= MOST
    assert found < CALLS / 2


@pytest.mark.parametrize("form", [form for form in FORMS if form != "timeout"])
def test_call_that_is_refused_leaves_no_reference_cycle(form: str) -> None:
    kept, found = garbage_of(form, "refused")
    assert kept <= MOST
    assert found < CALLS / 2


async def cycles_of_awaited(way: str, address: str) -> list[int]:
    fields: dict[str, Any] = {"fails": FAILS, "timeout": {"sleep_ms": 5}}.get(way, {})
    async with pybrpc.aio.Channel(address, timeout=PATIENT_S, max_retry=0) as channel:
        stub: Any = pybrpc.Stub(ECHO, channel)

        async def call(references: list[Any]) -> None:
            _held = hold(references)
            limit_s = 0.002 if way == "timeout" else PATIENT_S
            with contextlib.suppress(RpcError):
                await stub.Echo(echo_request(**fields), timeout=limit_s)

        async def cancel(references: list[Any]) -> None:
            task = asyncio.create_task(call(references))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        run = cancel if way == "cancelled" else call
        await run([])
        await asyncio.sleep(0.05)
        gc.collect()
        gc.disable()
        references: list[weakref.ref[Any]] = []
        for _ in range(CALLS):
            await run(references)
        await asyncio.sleep(0.1)
        kept = sum(reference() is not None for reference in references)
        found = gc.collect()
        gc.enable()
        return [kept, found]


@pytest.mark.parametrize("way", ["fails", "refused", "timeout", "cancelled"])
def test_failed_call_of_a_loop_leaves_no_reference_cycle(way: str) -> None:
    with contextlib.ExitStack() as stack:
        if way == "refused":
            address = stack.enter_context(closed_port())
        else:
            address = stack.enter_context(serving())
        kept, found = asyncio.run(cycles_of_awaited(way, address))
    assert kept <= MOST
    assert found < CALLS / 2


def references_left_by_waits_that_timed_out(count: int) -> int:
    """References to the backlog of a connection; another one fills the backlog of the process."""
    dispatcher, process = EpollDispatcher(), ProcessBacklog(1 << 20)
    dispatcher.start()
    (full_end, _far), (end, _other) = socket.socketpair(), socket.socketpair()
    full = Socket.of(full_end, dispatcher, process_backlog=process)
    waiting = Socket.of(end, dispatcher, process_backlog=process)
    for _ in range(50):
        full.start_write(IOBuf(bytes(60_000)), ignore_eovercrowded=True)
    with pytest.raises(OvercrowdedError):
        waiting.start_write(IOBuf(bytes(70_000)))
    before = sys.getrefcount(waiting.backlog)
    for _ in range(count):
        with contextlib.suppress(RpcTimeoutError):
            waiting.wait_writable(time.monotonic() + 0.0001)
    return sys.getrefcount(waiting.backlog) - before


def test_wait_writable_that_times_out_leaves_no_entry() -> None:
    assert run_in_child(references_left_by_waits_that_timed_out, 200) <= 1
