"""One Controller in two calls that run at once is refused; one after another it serves many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ControllerInUseError, RpcCanceledError
from tests.peers.echo import ECHO, echo_request
from tests.peers.loops import LOOPS
from tests.peers.scripted_server import Peer, ScriptedServer

WAIT_S = 30.0


class Answers:
    """A server that answers when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.server = ScriptedServer(self._script)

    def _script(self, peer: Peer) -> None:
        request = peer.read_request()
        if request is None:
            return  # the call was cancelled before it was sent
        assert self.may_answer.wait(WAIT_S)
        peer.answer(request)
        peer.echo_until_closed()


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    with answers.server:
        yield answers
        answers.may_answer.set()


def test_controller_of_a_future_in_flight_is_refused_in_every_form(answers: Answers) -> None:
    controller = pybrpc.Controller(log_id=7)
    with pybrpc.Channel(answers.server.address, timeout=WAIT_S) as channel:
        echo = pybrpc.Stub(ECHO, channel).Echo
        first = echo.future(echo_request("first"), controller=controller)
        said = r"in use by a call of conformance\.EchoService\.Echo that has not ended"
        with pytest.raises(ControllerInUseError, match=said):
            echo(echo_request("second"), controller=controller)
        with pytest.raises(ControllerInUseError, match=said):
            echo.future(echo_request("second"), controller=controller)
        with pytest.raises(ControllerInUseError, match=said):
            echo.with_callback(echo_request("second"), print, controller=controller)
        answers.may_answer.set()
        assert first.result(WAIT_S).message == "first"
        assert controller.latency_us > 0
        assert echo(echo_request("second"), controller=controller).message == "second"


def test_controller_of_a_cancelled_future_is_free(answers: Answers) -> None:
    controller = pybrpc.Controller()
    with pybrpc.Channel(answers.server.address, timeout=WAIT_S) as channel:
        echo = pybrpc.Stub(ECHO, channel).Echo
        first = echo.future(echo_request("first"), controller=controller)
        assert first.cancel()
        second = echo.future(echo_request("second"), controller=controller)
        assert second.cancel()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("is_shared", [False, True])
def test_controller_of_an_awaited_call_is_refused_until_it_ends(
    answers: Answers, loop: str, is_shared: bool
) -> None:
    async def main() -> None:
        controller = pybrpc.Controller()
        address = answers.server.address
        async with pybrpc.aio.Channel(
            address, timeout=WAIT_S, share_with_threads=is_shared
        ) as channel:
            echo: Any = pybrpc.Stub(ECHO, channel).Echo
            first = echo(echo_request("first"), controller=controller)
            with pytest.raises(ControllerInUseError):
                echo(echo_request("second"), controller=controller)
            answers.may_answer.set()
            assert (await first).message == "first"
            assert (await echo(echo_request("2"), controller=controller)).message == "2"
            third = echo(echo_request("third"), controller=controller)
            third.cancel()
            with pytest.raises(asyncio.CancelledError):
                await third
            if not is_shared:  # else another thread may end the call just then
                assert controller.error_code == RpcCanceledError.default_code
            assert (await echo(echo_request("4"), controller=controller)).message == "4"

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_handler_must_not_call_with_the_controller_that_it_was_given() -> None:
    raised: list[BaseException] = []

    class Front:
        def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
            try:
                return back(request, controller=controller)
            except ControllerInUseError as error:
                raised.append(error)
                return back(request, controller=pybrpc.Controller(log_id=controller.log_id))

        Stream = Echo

    with ScriptedServer() as server, pybrpc.Server() as front:
        front.add_service(ECHO, Front())
        with (
            pybrpc.Channel(server.address, timeout=WAIT_S) as channel,
            pybrpc.Channel(front.start("127.0.0.1:0"), timeout=WAIT_S) as to_front,
        ):
            back = pybrpc.Stub(ECHO, channel).Echo
            controller = pybrpc.Controller(log_id=9)
            reply = pybrpc.Stub(ECHO, to_front).Echo(echo_request("hello"), controller=controller)
        assert reply.message == "hello"
    (error,) = raised
    assert "belongs to the request of conformance.EchoService.Echo" in str(error)
    assert [request.log_id for request in server.requests] == [9]
