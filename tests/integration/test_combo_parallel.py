"""ParallelChannels over real servers: the rows of bRPC's tests for them, in every form."""

from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc import MergeResult, SubCall
from pybrpc.errors import BadRequestError, BadResponseError, ErrorCode, RpcError, RpcTimeoutError
from tests.peers.clusters import REQUEST, Cluster, cluster
from tests.peers.combos import FORMS, add_all, call_by, call_over, channels
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

each_form = pytest.mark.parametrize("form", FORMS)
DEAD = "127.0.0.1:1"


def joined(response: Any, sub_response: Any) -> None:
    """A merger that keeps all messages, in the order in which they are merged."""
    response.message += f"{sub_response.message};"


def add_joined(combo: Any, made: list[Any]) -> None:
    for channel in made:
        combo.add_channel(channel, merger=joined)


def echo_back(servers: Cluster) -> None:
    """Have the servers answer the message and the attachment that they get."""
    for member in servers.members:

        def behave(request: Any, controller: Any, name: str = member.name) -> None:
            controller.response_attachment = bytes(controller.request_attachment)
            controller.response_user_fields = {"got": request.message, "by": name}

        member.behave = behave


def codes(controller: pybrpc.Controller) -> list[int | None]:
    return [None if sub is None else sub.code for sub in controller.sub_calls]


@each_form
def test_responses_are_merged_in_the_order_of_the_channels(form: str) -> None:
    with cluster() as servers:
        servers[0].sleep(0.05)
        controller = pybrpc.Controller()
        answer = call_over(
            form,
            "ParallelChannel",
            servers.addresses,
            REQUEST,
            add_joined,
            controller=controller,
        )
        assert answer.message == "server 0;server 1;server 2;"
        assert servers.calls == [1, 1, 1]
        assert codes(controller) == [0, 0, 0]
        assert [str(sub.server) for sub in controller.sub_calls] == servers.addresses
        assert all(sub.latency_us for sub in controller.sub_calls)
        assert not controller.failed
        assert controller.latency_us >= controller.sub_calls[0].latency_us


@each_form
def test_attachment_and_options_go_along_with_every_sub_call(form: str) -> None:
    with cluster() as servers:
        echo_back(servers)
        controller = pybrpc.Controller(log_id=7, request_id="r")
        controller.request_attachment = b"attached"
        call_over(
            form,
            "ParallelChannel",
            servers.addresses,
            REQUEST,
            add_all,
            controller=controller,
        )
        for sub in controller.sub_calls:
            assert bytes(sub.response_attachment) == b"attached"
            assert (sub.controller.log_id, sub.controller.request_id) == (7, "r")
        assert bytes(controller.response_attachment) == b""
        assert bytes(controller.request_attachment) == b"attached"


@each_form
def test_one_channel_may_be_there_several_times(form: str) -> None:
    def add(combo: Any, made: list[Any]) -> None:
        add_joined(combo, made * 8)

    with cluster(1) as servers:
        answer = call_over(form, "ParallelChannel", servers.addresses, REQUEST, add)
        assert answer.message == "server 0;" * 8
        assert servers.calls == [8]


def test_mapper_gives_each_channel_a_request_of_its_own() -> None:
    asked = []

    def mapper(index: int, count: int, method: str, request: Any) -> Any:
        asked.append((index, count, method))
        own = pybrpc.Controller()
        own.request_attachment = f"own {index},".encode()
        return SubCall(pb.EchoRequest(message=f"{request.message}{index}"), own)

    def add(combo: Any, made: list[Any]) -> None:
        for channel in made * 8:
            combo.add_channel(channel, mapper=mapper, merger=joined)

    with cluster(1) as servers:
        echo_back(servers)
        controller = pybrpc.Controller()
        controller.request_attachment = b"all"
        call_over(
            "blocking",
            "ParallelChannel",
            servers.addresses,
            REQUEST,
            add,
            controller=controller,
        )
        subs = controller.sub_calls
        got = [sub.controller.response_user_fields["got"] for sub in subs]
        assert got == [f"who?{index}" for index in range(8)]
        assert [bytes(sub.response_attachment) for sub in subs] == [
            f"own {index},all".encode() for index in range(8)
        ]
        assert asked == [(index, 8, "conformance.EchoService.Echo") for index in range(8)]


@each_form
def test_skipped_channels_have_no_sub_call(form: str) -> None:
    def skip_odd(index: int, count: int, method: str, request: Any) -> Any:
        return SubCall.SKIP if index % 2 else request

    def add(combo: Any, made: list[Any]) -> None:
        for channel in made * 8:
            combo.add_channel(channel, mapper=skip_odd, merger=joined)

    with cluster(1) as servers:
        controller = pybrpc.Controller()
        answer = call_over(
            form, "ParallelChannel", servers.addresses, REQUEST, add, controller=controller
        )
        assert answer.message == "server 0;" * 4
        assert codes(controller) == [0, None] * 4


def _raise(*arguments: Any) -> Any:
    raise ValueError("a fault of the user")


@each_form
@pytest.mark.parametrize(
    ("mapper", "code"),
    [
        (lambda index, count, method, request: SubCall.BAD, ErrorCode.EREQUEST),
        (lambda index, count, method, request: SubCall.SKIP, ErrorCode.ECANCELED),
        (lambda index, count, method, request: None, ErrorCode.ECANCELED),
        (lambda index, count, method, request: 17, ErrorCode.EREQUEST),
        (_raise, ErrorCode.EREQUEST),
    ],
    ids=["bad", "skip", "none", "no message", "raises"],
)
def test_mapper_that_gives_no_request_ends_the_call(form: str, mapper: Any, code: int) -> None:
    def add(combo: Any, made: list[Any]) -> None:
        for channel in made:
            combo.add_channel(channel, mapper=mapper)

    with cluster(2) as servers:
        controller = pybrpc.Controller()
        with pytest.raises(RpcError) as caught:
            call_over(
                form, "ParallelChannel", servers.addresses, REQUEST, add, controller=controller
            )
        assert caught.value.code == controller.error_code == code
        assert servers.calls == [0, 0]


@each_form
def test_channel_without_channels_is_eperm(form: str) -> None:
    with pytest.raises(RpcError, match="No channels added") as caught:
        call_over(form, "ParallelChannel", [], REQUEST, add_all)
    assert caught.value.code == errno.EPERM


@each_form
def test_request_without_a_required_field_is_erequest(form: str) -> None:
    with cluster(2) as servers:
        with pytest.raises(BadRequestError):
            call_over(form, "ParallelChannel", servers.addresses, pb.EchoRequest(), add_all)
        assert servers.calls == [0, 0]


@each_form
def test_call_that_reaches_no_server_has_the_code_of_its_sub_calls(form: str) -> None:
    controller = pybrpc.Controller()
    with pytest.raises(RpcError) as caught:
        call_over(
            form,
            "ParallelChannel",
            [DEAD, DEAD],
            REQUEST,
            add_all,
            controller=controller,
            channel_options={"max_retry": 0},
        )
    assert caught.value.code == ErrorCode.ECONNREFUSED
    assert caught.value.text.startswith("2/2 channels failed, fail_limit=2 [C0]")
    assert codes(controller) == [ErrorCode.ECONNREFUSED] * 2
    assert not caught.value.may_have_run


@each_form
@pytest.mark.parametrize("fail_limit", [1, None])
def test_call_may_have_run_if_a_sub_call_may(form: str, fail_limit: int | None) -> None:
    with cluster(1) as servers:
        servers.members[0].fail(ErrorCode.EINTERNAL)
        with pytest.raises(RpcError) as caught:
            call_over(
                form,
                "ParallelChannel",
                [DEAD, *servers.addresses],
                REQUEST,
                add_all,
                fail_limit=fail_limit,
                channel_options={"max_retry": 0},
            )
    assert caught.value.may_have_run


@each_form
def test_different_errors_are_too_many_fails(form: str) -> None:
    with cluster(2) as servers:
        servers[0].fail(ErrorCode.EINTERNAL)
        servers[1].fail(4711)
        with pytest.raises(RpcError) as caught:
            call_over(form, "ParallelChannel", servers.addresses, REQUEST, add_all)
        assert caught.value.code == ErrorCode.ETOOMANYFAILS
        assert "by server 0" in caught.value.text
        assert "[C1]" in caught.value.text


@each_form
def test_failures_below_the_limit_leave_the_call_successful(form: str) -> None:
    with cluster() as servers:
        servers[1].fail(ErrorCode.EINTERNAL)
        controller = pybrpc.Controller()
        answer = call_over(
            form,
            "ParallelChannel",
            servers.addresses,
            REQUEST,
            add_joined,
            controller=controller,
            fail_limit=2,
        )
        assert answer.message == "server 0;server 2;"
        assert codes(controller) == [0, ErrorCode.EINTERNAL, 0]


@each_form
def test_fail_limit_cancels_the_other_sub_calls(form: str) -> None:
    go_on = threading.Event()
    with cluster(2) as servers:
        servers[0].fail(ErrorCode.EINTERNAL)
        servers[1].behave = lambda request, controller: go_on.wait(30)
        controller = pybrpc.Controller()
        with pytest.raises(RpcError) as caught:
            call_over(
                form,
                "ParallelChannel",
                servers.addresses,
                REQUEST,
                add_all,
                controller=controller,
                fail_limit=1,
            )
        go_on.set()
        assert caught.value.code == ErrorCode.EINTERNAL
        assert codes(controller) == [ErrorCode.EINTERNAL, ErrorCode.ECANCELED]


@each_form
def test_success_limit_ends_the_other_sub_calls(form: str) -> None:
    go_on = threading.Event()

    def add(combo: Any, made: list[Any]) -> None:
        add_joined(combo, [made[0]] + made[1:] * 7)

    with cluster(2) as servers:
        servers[1].behave = lambda request, controller: go_on.wait(30)
        controller = pybrpc.Controller()
        answer = call_over(
            form,
            "ParallelChannel",
            servers.addresses,
            REQUEST,
            add,
            controller=controller,
            success_limit=1,
        )
        go_on.set()
        assert answer.message == "server 0;"
        assert codes(controller) == [0] + [ErrorCode.EPCHANFINISH] * 7


@each_form
def test_deadline_without_a_success_is_a_timeout(form: str) -> None:
    go_on = threading.Event()
    with cluster(2) as servers:
        for member in servers.members:
            member.behave = lambda request, controller: go_on.wait(30)
        controller = pybrpc.Controller()
        with pytest.raises(RpcTimeoutError):
            call_over(
                form,
                "ParallelChannel",
                servers.addresses,
                REQUEST,
                add_all,
                timeout=0.05,
                controller=controller,
            )
        go_on.set()
        assert codes(controller) == [ErrorCode.ECANCELED] * 2


@each_form
def test_deadline_with_enough_successes_is_a_success(form: str) -> None:
    go_on = threading.Event()
    with cluster(2) as servers:
        servers[1].behave = lambda request, controller: go_on.wait(30)
        controller = pybrpc.Controller()
        answer = call_over(
            form,
            "ParallelChannel",
            servers.addresses,
            REQUEST,
            add_joined,
            timeout=1,
            controller=controller,
        )
        go_on.set()
        assert answer.message == "server 0;"
        assert codes(controller) == [0, ErrorCode.ECANCELED]


def test_sub_call_may_have_a_timeout_of_its_own() -> None:
    go_on = threading.Event()

    def add(combo: Any, made: list[Any]) -> None:
        combo.add_channel(made[0], merger=joined)
        combo.add_channel(
            made[1],
            mapper=lambda index, count, method, request: SubCall(request, timeout=0.05),
        )

    with cluster(2) as servers:
        servers[1].behave = lambda request, controller: go_on.wait(30)
        controller = pybrpc.Controller()
        answer = call_over(
            "blocking", "ParallelChannel", servers.addresses, REQUEST, add, controller=controller
        )
        go_on.set()
        assert answer.message == "server 0;"
        assert codes(controller) == [0, ErrorCode.ERPCTIMEDOUT]


def test_sub_call_may_be_one_of_another_method() -> None:
    stream = ECHO.methods_by_name["Stream"]
    called = []

    def behave(request: Any, controller: Any) -> None:
        called.append(controller.method_name)

    with cluster(1) as servers, channels(servers.addresses) as made:
        servers[0].behave = behave
        combo = pybrpc.ParallelChannel(
            made, mapper=lambda index, count, method, request: SubCall(request, method=stream)
        )
        call_by("blocking", combo, REQUEST, timeout=30)
        assert called == ["conformance.EchoService.Stream"]


# --- mergers ---


@each_form
@pytest.mark.parametrize(
    ("returned", "fail_limit", "code"),
    [
        (MergeResult.FAIL, 3, 0),
        (MergeResult.FAIL, 1, ErrorCode.ECANCELED),
        (MergeResult.FAIL_ALL, 3, ErrorCode.ERESPONSE),
        ("no result", 3, ErrorCode.ERESPONSE),
    ],
)
def test_merger_says_whether_a_sub_call_counts(
    form: str, returned: Any, fail_limit: int, code: int
) -> None:
    def merger(response: Any, sub_response: Any) -> Any:
        if sub_response.message == "server 1":
            return returned
        return joined(response, sub_response)

    def add(combo: Any, made: list[Any]) -> None:
        for channel in made:
            combo.add_channel(channel, merger=merger)

    def call() -> Any:
        return call_over(
            form, "ParallelChannel", servers.addresses, REQUEST, add, fail_limit=fail_limit
        )

    with cluster() as servers:
        if code:
            with pytest.raises(RpcError) as caught:
                call()
            assert caught.value.code == code
        else:
            assert call().message == "server 0;server 2;"


@each_form
@pytest.mark.parametrize("raised", [ValueError("bad"), SystemExit(3)], ids=["error", "exit"])
def test_merger_that_raises_fails_the_call(form: str, raised: BaseException) -> None:
    def merger(response: Any, sub_response: Any) -> None:
        raise raised

    def add(combo: Any, made: list[Any]) -> None:
        combo.add_channel(made[0], merger=merger)

    with cluster(1) as servers:
        with pytest.raises(BadResponseError, match=r"channel\[0\]") as caught:
            call_over(form, "ParallelChannel", servers.addresses, REQUEST, add)
        assert caught.value.__cause__ is raised


@pytest.mark.parametrize("form", ["future", "callback"])
def test_merger_may_block_without_keeping_other_calls(form: str) -> None:
    go_on = threading.Event()

    def merger(response: Any, sub_response: Any) -> None:
        assert go_on.wait(30)
        response.message = "merged"

    with cluster(1) as servers, channels(servers.addresses) as made:
        slow = pybrpc.ParallelChannel(made, merger=merger, timeout=30)
        waiting = pybrpc.Stub(ECHO, slow).Echo.future(REQUEST)
        assert call_by(form, made[0], REQUEST).message == "server 0"
        assert not waiting.done()
        go_on.set()
        assert waiting.result(30).message == "merged"


def test_merger_of_a_blocking_call_runs_in_its_thread() -> None:
    threads = []
    with cluster(2) as servers, channels(servers.addresses) as made:
        combo = pybrpc.ParallelChannel(
            made, timeout=30, merger=lambda *given: threads.append(threading.current_thread())
        )
        call_by("blocking", combo, REQUEST)
        assert threads == [threading.current_thread()] * 2
