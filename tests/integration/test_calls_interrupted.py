"""Signal handlers that raise inside a call: Ctrl-C most of all."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.base.waiting import acquire_until
from pybrpc.client.calls.backup_request import Hedge
from tests.peers.alarms import raising_alarms, storm
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, never_answer


@pytest.fixture
def raising_alarm() -> Iterator[None]:
    with raising_alarms():
        yield


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also in a process that was started without it (`... &`)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_blocking_call_cancels_it() -> None:
    controller = pybrpc.Controller()

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        main_id = threading.main_thread().ident or 0
        while sys._current_frames()[main_id].f_code is not acquire_until.__code__:
            pass  # it has written the request and does not wait for the answer yet
        signal.pthread_kill(main_id, signal.SIGINT)
        assert is_canceled.wait(30)
        peer.answer(request)
        peer.echo_until_closed()

    is_canceled = threading.Event()
    with ScriptedServer(script) as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        with pytest.raises(KeyboardInterrupt):
            stub.Echo(echo_request(), controller=controller)
        assert controller.error_code == pybrpc.ErrorCode.ECANCELED
        assert channel.statistics().in_flight == 0  # type: ignore[union-attr]
        is_canceled.set()
        assert stub.Echo(echo_request("next")).message == "next"
        assert channel.statistics().late_answers == 1  # type: ignore[union-attr]
    assert server.connections == 1


@pytest.mark.python_only
def test_controller_says_how_a_call_ended_whose_end_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A signal handler raises while the backup request is ended: before, the log had an
    AttributeError, and the controller said that the call had not failed."""
    end = Hedge.end

    def interrupted(hedge: Hedge, place: Any) -> None:
        end(hedge, place)
        raise KeyboardInterrupt

    monkeypatch.setattr(Hedge, "end", interrupted)
    controller = pybrpc.Controller()
    with (
        ScriptedServer(never_answer) as server,
        pybrpc.Channel(server.address, timeout=0.1, backup_request_ms=1000) as channel,
    ):
        with pytest.raises(KeyboardInterrupt):
            pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)
        assert controller.error_code == pybrpc.ErrorCode.ERPCTIMEDOUT
        assert controller.latency_us > 0
    assert not [each for each in caplog.records if each.exc_info]


@pytest.mark.usefixtures("raising_alarm")
# What a signal handler raises inside a destructor Python itself swallows.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_channel_is_usable_after_being_interrupted_anywhere() -> None:
    def work() -> None:
        stub.Echo(echo_request("x"), timeout=10)

    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request("before"), timeout=10)
        for _ in range(20):
            storm(work, strokes=50)
            assert stub.Echo(echo_request("after"), timeout=10).message == "after"
        assert channel.statistics().in_flight == 0  # type: ignore[union-attr]
