"""Whatever a handler raises or does to its loop, all other calls are answered."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any

from pybrpc.errors import RpcError
from tests.cases.child import run_in_child
from tests.cases.peers import LATE_S, PATIENT_S, in_thread, waited_for
from tests.peers.raw_peer import RawPeer, request
from tests.peers.serving import as_async, echo, make_server, serving, start
from tests.protos import conformance_pb2 as pb

EINTERNAL = 2001
FORMS = {"plain": False, "async": True}
WAYS = ("task exits", "loop is stopped", "KeyboardInterrupt")


async def harm_the_loop(request: Any, controller: Any) -> Any:
    match request.message:
        case "task exits":

            async def background() -> None:
                sys.exit(1)

            harm_the_loop.task = asyncio.create_task(background())
        case "loop is stopped":
            asyncio.get_running_loop().stop()
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
    return pb.EchoResponse(message=request.message)


def answers_after_harm_to_the_loop(way: str) -> list[str]:
    """The answers of async calls and of a plain one, each over a connection of its own."""
    endpoint = start(make_server(harm_the_loop, echo, max_concurrency=5))
    answer_within(endpoint, "Echo", way)
    return [answer_within(endpoint, method) for method in ("Echo", "Echo", "Stream")]


def answers_after_each_harm() -> dict[str, list[str]]:
    calls = {way: in_thread(partial(answers_after_harm_to_the_loop, way)) for way in WAYS}
    return {way: call.result() for way, call in calls.items()}


def answer_within(endpoint: Any, method: str, message: str = "hello") -> str:
    with RawPeer(endpoint) as peer:
        peer.sock.settimeout(LATE_S / 2)
        try:
            return f"code {peer.call(method, message=message).error_code}"
        except OSError as error:
            return type(error).__name__


def test_async_calls_are_answered_after_a_handler_harmed_its_loop() -> None:
    found = run_in_child(answers_after_each_harm)
    assert found == {way: ["code 0"] * 3 for way in WAYS}


async def exit_when_asked(request: Any, controller: Any) -> Any:
    if request.message == "exit":
        raise GeneratorExit
    return pb.EchoResponse(message=request.message)


def codes_beside_a_generator_exit() -> dict[int, int]:
    """The codes of ten requests that arrive in one read; the handler of the fourth raises it."""
    with RawPeer(start(make_server(exit_when_asked))) as peer:
        peer.sock.settimeout(LATE_S)
        peer.send(*(request(i, message="exit" if i == 3 else "hello") for i in range(10)))
        codes: dict[int, int] = {}
        try:
            while len(codes) < 10:
                answer = peer.read_answer()
                codes[answer.correlation_id] = answer.error_code
        except OSError:
            pass
        return codes


def test_generator_exit_in_an_async_handler_fails_its_own_call_only() -> None:
    codes = run_in_child(codes_beside_a_generator_exit)
    assert codes == {str(i): EINTERNAL if i == 3 else 0 for i in range(10)}


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise asyncio.CancelledError


ODD_ERRORS = {"code 0": lambda: RpcError("downstream", code=0), "no text": Unspeakable}


def code_and_running_after_an_odd_error(kind: str, is_async: bool) -> list[Any]:
    """The code that the caller gets, and how many calls still hold a slot."""

    def handle(request: Any, controller: Any) -> Any:
        raise ODD_ERRORS[kind]()

    server = make_server(as_async(handle) if is_async else handle, max_concurrency=3)
    code = answer_within(start(server), "Echo")
    waited_for(lambda: server.statistics().running == 0, LATE_S / 2)
    return [code, server.statistics().running]


def codes_and_running_after_odd_errors() -> dict[str, Any]:
    calls = {
        f"{kind}, {form}": in_thread(partial(code_and_running_after_an_odd_error, kind, is_async))
        for kind in ODD_ERRORS
        for form, is_async in FORMS.items()
    }
    return {key: call.result() for key, call in calls.items()}


def test_error_that_makes_no_answer_is_einternal_and_frees_its_slot() -> None:
    found = run_in_child(codes_and_running_after_odd_errors)
    assert found == {
        f"{kind}, {form}": [f"code {EINTERNAL}", 0] for kind in ODD_ERRORS for form in FORMS
    }


def state_of_a_background_task_after_stop() -> list[Any]:
    """Whether the task that a handler began is done, and what it did."""
    said: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def flush() -> None:
        try:
            await asyncio.sleep(PATIENT_S)
        finally:
            said.append("cleaned up")

    async def handle(request: Any, controller: Any) -> Any:
        tasks.append(asyncio.create_task(flush()))
        await asyncio.sleep(0)
        return pb.EchoResponse(message="")

    with serving(handle) as peer:
        peer.call()
    return [tasks[0].done(), said]


def test_task_that_a_handler_began_is_cancelled_and_awaited_at_stop() -> None:
    assert run_in_child(state_of_a_background_task_after_stop) == [True, ["cleaned up"]]
