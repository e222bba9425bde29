"""SelectiveChannels over real servers: the rows of bRPC's tests for them, in every form."""

from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.client.cluster.balancing.round_robin import RoundRobin
from pybrpc.errors import BadRequestError, ErrorCode, RpcError, RpcTimeoutError
from tests.fakes.threads import wait_until
from tests.peers.clusters import REQUEST, Member, answers, cluster
from tests.peers.combos import FORMS, add_all, call_over, channels
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

each_form = pytest.mark.parametrize("form", FORMS)
DEAD = "127.0.0.1:1"


@each_form
def test_call_goes_to_one_channel(form: str) -> None:
    with cluster() as servers:
        servers[0].behave = servers[1].behave = servers[2].behave = attach
        controller = pybrpc.Controller()
        answer = call_over(
            form,
            "SelectiveChannel",
            servers.addresses,
            REQUEST,
            add_all,
            controller=controller,
        )
        assert sum(servers.calls) == 1
        assert len(controller.sub_calls) == 1
        assert controller.sub_calls[0].response is answer
        assert bytes(controller.response_attachment).decode() == "attached by a server"
        assert str(controller.remote_side) in servers.addresses


def attach(request: Any, controller: Any) -> None:
    controller.response_attachment = b"attached by a server"


def test_channels_take_turns() -> None:
    with cluster() as servers, channels(servers.addresses) as made:
        stub = pybrpc.Stub(ECHO, pybrpc.SelectiveChannel(made, timeout=30))
        assert answers(stub, 9) == {"server 0": 3, "server 1": 3, "server 2": 3}


def test_tag_is_the_weight_of_a_channel() -> None:
    with cluster(2) as servers, channels(servers.addresses) as made:
        combo = pybrpc.SelectiveChannel(load_balancer="wrr", timeout=30)
        combo.add_channel(made[0], "3")
        combo.add_channel(made[1], "1")
        assert answers(pybrpc.Stub(ECHO, combo), 8) == {"server 0": 6, "server 1": 2}


def test_channels_are_added_and_removed_between_calls() -> None:
    with cluster(2) as servers, channels(servers.addresses) as made:
        combo = pybrpc.SelectiveChannel([made[0]], timeout=30)
        stub = pybrpc.Stub(ECHO, combo)
        assert answers(stub, 2) == {"server 0": 2}
        combo.add_channel(made[1])
        combo.remove_channel(made[0])
        assert answers(stub, 2) == {"server 1": 2}
        with pytest.raises(ValueError, match="added already"):
            combo.add_channel(made[1])
        with pytest.raises(ValueError, match="none of its channels"):
            combo.remove_channel(made[0])


@each_form
def test_channel_without_channels_is_enodata(form: str) -> None:
    with pytest.raises(RpcError) as caught:
        call_over(form, "SelectiveChannel", [], REQUEST, add_all)
    assert caught.value.code == errno.ENODATA
    assert "a SelectiveChannel has no channels" in caught.value.text


@each_form
def test_unreachable_server_is_econnrefused(form: str) -> None:
    controller = pybrpc.Controller()
    with pytest.raises(RpcError) as caught:
        call_over(
            form,
            "SelectiveChannel",
            [DEAD],
            REQUEST,
            add_all,
            controller=controller,
            channel_options={"max_retry": 0},
        )
    assert caught.value.code == controller.error_code == ErrorCode.ECONNREFUSED
    assert not caught.value.may_have_run


@each_form
def test_call_that_fails_is_sent_over_another_channel(form: str) -> None:
    with cluster(1) as servers:
        controller = pybrpc.Controller()
        answer = call_over(
            form,
            "SelectiveChannel",
            [DEAD, DEAD.replace("1:1", "1:2"), *servers.addresses],
            REQUEST,
            add_all,
            controller=controller,
            channel_options={"max_retry": 0},
        )
        assert answer.message == "server 0"
        assert not controller.failed
        assert controller.sub_calls[0].index == 2
        assert controller.retried_count <= 2


@each_form
def test_error_of_a_handler_is_passed_on(form: str) -> None:
    with cluster(2) as servers:
        for member in servers.members:
            member.fail(ErrorCode.EINTERNAL)
        with pytest.raises(RpcError) as caught:
            call_over(form, "SelectiveChannel", servers.addresses, REQUEST, add_all)
        assert caught.value.code == ErrorCode.EINTERNAL
        assert sum(servers.calls) == 1


@each_form
def test_user_fields_of_a_failed_response_are_those_of_the_call(form: str) -> None:
    def fail(request: Any, controller: Any) -> None:
        controller.response_user_fields = {"key": "value"}
        controller.set_failed(20001, "no")

    with cluster(2) as servers:
        servers[0].behave = servers[1].behave = fail
        controller = pybrpc.Controller()
        with pytest.raises(RpcError):
            call_over(
                form,
                "SelectiveChannel",
                servers.addresses,
                REQUEST,
                add_all,
                controller=controller,
            )
        assert controller.response_user_fields == {"key": "value"}
        assert str(controller.remote_side) in servers.addresses


@each_form
def test_request_without_a_required_field_is_erequest(form: str) -> None:
    with cluster(2) as servers:
        with pytest.raises(BadRequestError):
            call_over(form, "SelectiveChannel", servers.addresses, pb.EchoRequest(), add_all)
        assert servers.calls == [0, 0]


@each_form
def test_late_sub_call_changes_nothing_after_the_deadline(form: str) -> None:
    go_on = threading.Event()
    with cluster(1) as servers:
        servers[0].behave = lambda request, controller: go_on.wait(30)
        controller = pybrpc.Controller()
        with pytest.raises(RpcTimeoutError):
            call_over(
                form,
                "SelectiveChannel",
                servers.addresses,
                REQUEST,
                add_all,
                timeout=0.05,
                controller=controller,
            )
        results = repr(controller)
        go_on.set()
        wait_until(lambda: servers.calls == [1])
        assert repr(controller) == results
        assert controller.error_code == ErrorCode.ERPCTIMEDOUT


@each_form
def test_backup_request_goes_to_another_channel_and_its_response_wins(form: str) -> None:
    go_on = threading.Event()
    with cluster(2) as servers:
        first = []

        def behave(request: Any, controller: Any, member: Member) -> None:
            controller.response_attachment = member.name.encode()
            first.append(member)
            if len(first) == 1:
                go_on.wait(30)

        for member in servers.members:
            member.behave = lambda request, controller, member=member: behave(
                request, controller, member
            )
        controller = pybrpc.Controller()
        answer = call_over(
            form,
            "SelectiveChannel",
            servers.addresses,
            REQUEST,
            add_all,
            controller=controller,
            backup_request_ms=10,
        )
        go_on.set()
        assert answer.message == first[1].name
        assert bytes(controller.response_attachment).decode() == answer.message
        assert controller.has_backup_request
        assert controller.retried_count == 1


def test_without_another_channel_there_is_no_backup_request() -> None:
    with cluster(1) as servers, channels(servers.addresses) as made:
        servers[0].sleep(0.05)
        combo = pybrpc.SelectiveChannel(made, timeout=30, backup_request_ms=1)
        controller = pybrpc.Controller()
        assert pybrpc.Stub(ECHO, combo).Echo(REQUEST, controller=controller).message == "server 0"
        assert not controller.has_backup_request
        assert servers.calls == [1]


def test_channel_without_servers_gets_no_calls_until_it_has_some() -> None:
    with cluster(2) as servers, channels(servers.addresses, max_retry=0) as made:
        down = servers[0]
        combo = pybrpc.SelectiveChannel(made, timeout=30)
        stub = pybrpc.Stub(ECHO, combo)
        answers(stub, 4)
        down.stop()
        assert answers(stub, 8) == {"server 1": 8}
        down.start()
        wait_until(lambda: answers(stub, 2)["server 0"] > 0)


def test_parallel_channels_may_be_channels_of_it() -> None:
    def merger(response: Any, sub_response: Any) -> None:
        response.message += f"{sub_response.message};"

    with cluster(4) as servers, channels(servers.addresses) as made:
        combo = pybrpc.SelectiveChannel(timeout=30)
        combo.add_channel(pybrpc.ParallelChannel(made[:2], merger=merger))
        combo.add_channel(pybrpc.ParallelChannel(made[2:], merger=merger))
        stub = pybrpc.Stub(ECHO, combo)
        assert set(answers(stub, 4)) == {"server 0;server 1;", "server 2;server 3;"}
        controller = pybrpc.Controller()
        stub.Echo(REQUEST, controller=controller)
        (sub,) = controller.sub_calls
        assert [inner.code for inner in sub.controller.sub_calls] == [0, 0]


class Moody:
    """A balancer of the application, which raises `error` instead of making a picker."""

    error: BaseException | None = None

    def new_picker(self, servers: Any) -> Any:
        if self.error is not None:
            raise self.error
        return RoundRobin().new_picker(servers)


def test_balancer_that_raises_keeps_the_channels_as_they_are() -> None:
    balancer: Any = Moody()
    with cluster(2) as servers, channels(servers.addresses) as (first, second):
        with pybrpc.SelectiveChannel([first], load_balancer=balancer) as selective:
            stub = pybrpc.Stub(ECHO, selective)
            balancer.error = LookupError("mine")
            with pytest.raises(LookupError, match="mine"):
                selective.add_channel(second)
            with pytest.raises(LookupError, match="mine"):
                selective.remove_channel(first)
            assert selective.channel_count == 1
            assert answers(stub, 4) == {"server 0": 4}
            balancer.error = None
            selective.add_channel(second)
            assert answers(stub, 4) == {"server 0": 2, "server 1": 2}
            selective.remove_channel(first)
            assert answers(stub, 4) == {"server 1": 4}


@pytest.mark.parametrize("given", [5, None, object()])
def test_object_that_is_no_balancer_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="has a method new_picker"):
        pybrpc.SelectiveChannel(load_balancer=given)
