"""Backup requests over real connections: the gain for callers, and the limits of the cost."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ConnectionFailedError, ErrorCode, RpcTimeoutError
from pybrpc.protocols.message import RpcRequest
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, echo
from tests.protos import conformance_pb2 as pb

every_form = pytest.mark.parametrize("form", FORMS)


def always(after_ms: float) -> pybrpc.BackupRequestPolicy:
    return pybrpc.BackupRequestPolicy(after_ms / 1000, max_ratio=1)


class FirstCallOnly(pybrpc.BackupRequestPolicy):
    """A backup for the first call; a later one may be slow without one."""

    def may_send(self) -> bool:
        return self.counts()[1] == 0


def stall_the_first_of_each_pair(peer: Peer) -> None:
    """A worker hangs: of two requests with one message only the second is answered."""
    seen: collections.Counter[bytes] = collections.Counter()
    while (request := peer.read_request()) is not None:
        body = bytes(request.body)
        seen[body] += 1
        if seen[body] == 2:
            peer.answer(request)


def only_read(peer: Peer) -> None:
    while peer.read_request() is not None:
        pass


@every_form
def test_backup_answers_when_the_first_request_stalls(form: str) -> None:
    """bRPC: backup_request. Over one connection: another worker of the server is faster."""
    controller = pybrpc.Controller()
    with (
        ScriptedServer(stall_the_first_of_each_pair) as server,
        caller(form, server.address, backup_request_policy=always(10)) as client,
    ):
        for i in range(10):
            response = client.call(echo_request(str(i)), controller=controller)
            assert response.message == str(i)
            assert controller.has_backup_request
            assert controller.retried_count == 1
            assert not controller.failed
        assert client.statistics().in_flight == 0
    assert len(server.requests) == 20
    assert server.connections == 1


def test_backup_request_ms_alone_enables_backup_requests() -> None:
    with ScriptedServer(stall_the_first_of_each_pair) as server:
        with pybrpc.Channel(server.address, timeout=30, backup_request_ms=10) as channel:
            assert pybrpc.Stub(ECHO, channel).Echo(echo_request("a")).message == "a"


@every_form
def test_late_answer_of_the_loser_is_dropped_and_counted(form: str) -> None:
    def answer_both_to_the_backup(peer: Peer) -> None:
        first, backup = peer.expect_request(), peer.expect_request()
        peer.answer(backup)
        peer.answer(first)
        peer.echo_until_closed()

    with (
        ScriptedServer(answer_both_to_the_backup) as server,
        caller(form, server.address, backup_request_policy=FirstCallOnly(0.01)) as client,
    ):
        assert client.call(echo_request("a")).message == "a"
        assert client.call(echo_request("b")).message == "b"
        statistics = client.statistics()
    assert (statistics.late_answers, statistics.unknown_answers) == (1, 0)
    assert statistics.in_flight == 0


@every_form
def test_first_request_may_still_win(form: str) -> None:
    """brpc#3275: with one replica the call failed when its backup was due."""

    def answer_the_first_after_the_backup(peer: Peer) -> None:
        first, _ = peer.expect_request(), peer.expect_request()
        peer.answer(first)
        peer.wait_closed()

    controller = pybrpc.Controller()
    with (
        ScriptedServer(answer_the_first_after_the_backup) as server,
        caller(form, server.address, backup_request_policy=always(2)) as client,
    ):
        assert client.call(echo_request("a"), controller=controller).message == "a"
    assert controller.has_backup_request


@every_form
@pytest.mark.parametrize("end", [Peer.reset, lambda peer: None], ids=["RST", "EOF"])
def test_broken_connection_of_the_backup_leaves_the_first_request_alone(
    form: str, end: Callable[[Peer], None], caplog: pytest.LogCaptureFixture
) -> None:
    """And nobody hears of it: no retry, no line in the log."""

    def first(peer: Peer) -> None:
        request = peer.expect_request()
        assert has_broken.wait(30)
        threading.Event().wait(0.05)  # the client has heard of it by then, most likely
        peer.answer(request)
        peer.echo_until_closed()

    def second(peer: Peer) -> None:
        peer.expect_request()
        end(peer)
        peer.sock.close()
        has_broken.set()

    has_broken = threading.Event()
    controller = pybrpc.Controller()
    with (
        ScriptedServer(first, second) as server,
        caller(form, server.address, connections=2, backup_request_policy=always(10)) as client,
    ):
        response = client.call(echo_request("a"), controller=controller)
    assert response.message == "a"
    assert (controller.has_backup_request, controller.retried_count) == (True, 1)
    assert len(server.requests) == 2
    assert caplog.records == []


@every_form
def test_backup_goes_over_another_connection_if_there_are_several(form: str) -> None:
    """The first connection is stuck: its server reads nothing more."""

    def stuck(peer: Peer) -> None:
        is_over.wait()

    is_over = threading.Event()
    with ScriptedServer(stuck, echo) as server:
        with caller(form, server.address, connections=2, backup_request_ms=20) as client:
            assert client.call(echo_request("a")).message == "a"
        is_over.set()
    assert server.connections == 2


@every_form
def test_error_of_one_request_waits_for_the_other(form: str) -> None:
    """The worker that got the backup is broken, and quick to say so."""

    def fail_the_backup(peer: Peer) -> None:
        first, backup = peer.expect_request(), peer.expect_request()
        peer.answer(backup, error_code=ErrorCode.EINTERNAL, error_text="broken", body=b"")
        peer.answer(first)
        peer.wait_closed()

    with (
        ScriptedServer(fail_the_backup) as server,
        caller(form, server.address, backup_request_policy=always(10)) as client,
    ):
        assert client.call(echo_request("a")).message == "a"


@every_form
def test_deadline_ends_both_requests(form: str) -> None:
    controller = pybrpc.Controller()
    with (
        ScriptedServer(only_read) as server,
        caller(form, server.address, backup_request_policy=always(10)) as client,
    ):
        with pytest.raises(RpcTimeoutError):
            client.call(echo_request(), timeout=1, controller=controller)
        assert client.statistics().in_flight == 0
    assert len(server.requests) == 2
    assert controller.has_backup_request
    first, backup = server.requests
    assert (first.timeout_ms or 0) > (backup.timeout_ms or 0), "the backup has less time left"


@every_form
def test_backup_request_is_not_sent_without_a_retry_budget(form: str) -> None:
    with (
        ScriptedServer(only_read) as server,
        caller(form, server.address, max_retry=0, backup_request_policy=always(1)) as client,
    ):
        with pytest.raises(RpcTimeoutError):
            client.call(echo_request(), timeout=0.5)
    assert len(server.requests) == 1


@every_form
def test_policy_may_veto(form: str) -> None:
    """bRPC: backup_request_policy."""

    class Never(pybrpc.BackupRequestPolicy):
        def may_send(self) -> bool:
            return False

    controller = pybrpc.Controller()
    with (
        ScriptedServer(only_read) as server,
        caller(form, server.address, backup_request_policy=Never(0.001)) as client,
    ):
        with pytest.raises(RpcTimeoutError):
            client.call(echo_request(), timeout=0.5, controller=controller)
    assert len(server.requests) == 1
    assert not controller.has_backup_request


class TestWordOfOneCall:
    """The options of a controller take precedence over those of the channel."""

    @every_form
    @pytest.mark.parametrize("after_ms", [0, 5, 10.5])
    def test_backup_of_one_call(self, form: str, after_ms: float) -> None:
        controller = pybrpc.Controller()
        controller.backup_request_ms = after_ms
        with (
            ScriptedServer(stall_the_first_of_each_pair) as server,
            caller(form, server.address) as client,
        ):
            assert client.call(echo_request("a"), controller=controller).message == "a"
        assert controller.has_backup_request

    def test_of_one_call_none(self) -> None:
        controller = pybrpc.Controller()
        controller.backup_request_ms = -1
        with (
            ScriptedServer(only_read) as server,
            pybrpc.Channel(server.address, backup_request_policy=always(1)) as channel,
        ):
            with pytest.raises(RpcTimeoutError):
                pybrpc.Stub(ECHO, channel).Echo(echo_request(), timeout=0.1, controller=controller)
        assert len(server.requests) == 1

    def test_budget_of_one_call(self) -> None:
        controller = pybrpc.Controller()
        controller.max_retry = 0
        with (
            ScriptedServer(lambda peer: peer.read_request()) as server,
            pybrpc.Channel(server.address, timeout=30) as channel,
        ):
            with pytest.raises(ConnectionFailedError):
                pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("max_retry", -1, "max_retry must be None or a whole number >= 0, not -1"),
            ("max_retry", 1.5, "max_retry must be None or a whole number >= 0, not 1.5"),
            (
                "backup_request_ms",
                -2,
                "backup_request_ms must be at least 0 milliseconds, -1 for none",
            ),
            ("backup_request_ms", "5", "or None for the channel's, not '5'"),
        ],
    )
    def test_nonsense_is_refused(self, name: str, value: Any, text: str) -> None:
        controller = pybrpc.Controller()
        with pytest.raises(ValueError, match=text):
            setattr(controller, name, value)


def test_slow_server_gets_little_more_load() -> None:
    """brpc#2695: a fixed time for backups doubled the load of a server that had become slow."""
    calls = 400

    def slow(peer: Peer) -> None:
        waiting: list[RpcRequest] = []
        while len(waiting) < calls:
            waiting.append(peer.expect_request())
        has_all.wait()
        for request in waiting:
            peer.answer(request)
        peer.echo_until_closed()

    has_all = threading.Event()
    policy = pybrpc.BackupRequestPolicy(0.01)
    with (
        ScriptedServer(slow) as server,
        pybrpc.Channel(server.address, timeout=60, backup_request_policy=policy) as channel,
    ):
        stub = pybrpc.Stub(ECHO, channel)
        futures = [stub.Echo.future(echo_request(str(i))) for i in range(calls)]
        wait_until_backups_stay_the_same(policy)
        has_all.set()
        for i, future in enumerate(futures):
            assert future.result().message == str(i)
    made, backups = policy.counts()
    assert 1 <= backups <= 0.1 * calls
    assert made == calls
    assert len(server.requests) <= 1.1 * calls


def wait_until_backups_stay_the_same(policy: pybrpc.BackupRequestPolicy) -> None:
    pause = threading.Event()
    before = -1
    while before != (backups := policy.counts()[1]) or not backups:
        before = backups
        pause.wait(0.2)


def test_answer_is_never_a_mixture_of_two() -> None:
    """bRPC: backuprequest_selective_response_race."""

    def answer_both_at_once(peer: Peer) -> None:
        while (first := peer.read_request()) is not None:
            pair = [first]
            if (second := peer.read_request()) is not None:
                pair.append(second)
            for request in pair:
                tag = str(request.correlation_id)
                body = pb.EchoResponse(message=tag).SerializeToString()
                peer.answer(request, body=body, attachment=pybrpc.IOBuf(tag.encode()))

    with (
        ScriptedServer(answer_both_at_once) as server,
        pybrpc.Channel(server.address, timeout=30, backup_request_policy=always(0)) as channel,
    ):
        stub = pybrpc.Stub(ECHO, channel)
        for _ in range(150):
            controller = pybrpc.Controller()
            response = stub.Echo(echo_request(), controller=controller)
            assert response.message.encode() == controller.response_attachment
