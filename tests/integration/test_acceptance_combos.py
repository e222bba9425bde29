"""bRPC's own tests of combined channels (test/brpc_channel_unittest.cpp), in our terms.

Where all of them are, in tests/integration unless said:

    empty_parallel_channel              test_combo_parallel, without_channels_is_eperm
    empty_selective_channel             test_combo_selective, without_channels_is_enodata
    uninitialized_selective_channel     nothing: one that is made is initialised
    returns_bad_parallel, skip_all_channels     test_combo_parallel, mapper_that_gives_no_request
    success_parallel                    test_combo_parallel, merged_in_the_order_of_the_channels
    success_duplicated_parallel         test_combo_parallel, may_be_there_several_times
    success_parallel2                   test_combo_parallel, a_request_of_its_own; no such field: a
                                        mapper that raises; a method that fails: here, server_fail
    skip_parallel                       test_combo_parallel, skipped_channels
    success_limit_parallel              test_combo_parallel, success_limit
    success_selective                   test_combo_selective, call_goes_to_one_channel
    http_header_parallel_channels       here
    connection_failed_*, request_not_init_*     test_combo_parallel, test_combo_selective
    close_fd_*, server_fail_*           here
    timeout_parallel, timeout_still_checks_sub_channels_parallel    test_combo_parallel, deadline
    timeout_selective                   test_combo_selective, late_sub_call
    cancel_before_callmethod_*          here, as close to it as can be: a call that was not made has
                                        nothing to cancel
    cancel_during_callmethod_*, cancel_after_callmethod_parallel    test_combo_forms
    destroy_channel_*, authentication_* here
    backuprequest_selective             test_combo_selective
    backuprequest_selective_response_race       stress/test_combo_races
    selective_channel_ignores_late_subdone_after_timeout    test_combo_selective, late_sub_call
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.rpc.authenticator import AuthContext
from tests.fakes.threads import in_threads, wait_until
from tests.peers.clusters import REQUEST, Cluster, cluster
from tests.peers.combos import FORMS, add_all, aio_channels, call_over, channels
from tests.peers.echo import ECHO
from tests.peers.scripted_server import Peer, ScriptedServer

each_form = pytest.mark.parametrize("form", FORMS)
each_kind = pytest.mark.parametrize("kind", ["ParallelChannel", "SelectiveChannel"])


class Counting:
    """An Authenticator that counts its credentials."""

    def __init__(self) -> None:
        self.made: list[None] = []

    def generate_credential(self) -> bytes:
        self.made.append(None)
        return b"secret"

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> AuthContext | None:
        if credential != b"secret":
            raise PermissionError
        return None


@contextmanager
def silent_cluster(count: int = 2) -> Iterator[tuple[Cluster, threading.Event]]:
    """Servers that answer once the event is set."""
    go_on = threading.Event()
    with cluster(count) as servers:
        for member in servers.members:
            member.behave = lambda request, controller: go_on.wait(30)
        try:
            yield servers, go_on
        finally:
            go_on.set()


def hang_up(peer: Peer) -> None:
    peer.read_request()


@each_form
@each_kind
def test_close_fd(form: str, kind: str) -> None:
    with ScriptedServer(hang_up) as one, ScriptedServer(hang_up) as other:
        controller = pybrpc.Controller()
        with pytest.raises(RpcError) as caught:
            call_over(
                form,
                kind,
                [one.address, other.address],
                REQUEST,
                add_all,
                controller=controller,
                channel_options={"max_retry": 0},
            )
    assert caught.value.code == controller.error_code == ErrorCode.EEOF
    assert {sub.code for sub in controller.sub_calls} == {ErrorCode.EEOF}


@each_form
@each_kind
def test_server_fail(form: str, kind: str) -> None:
    with cluster(2) as servers:
        for member in servers.members:
            member.fail(ErrorCode.EINTERNAL)
        with pytest.raises(RpcError, match="by server") as caught:
            call_over(form, kind, servers.addresses, REQUEST, add_all)
    assert caught.value.code == ErrorCode.EINTERNAL


@pytest.mark.parametrize("connection_type", ["single", "short"])
@each_kind
def test_authentication(kind: str, connection_type: str) -> None:
    """10 threads: a credential for each long connection, and for each call over a short one."""
    auth = Counting()
    options: dict[str, Any] = {"auth": auth, "connection_type": connection_type}
    with cluster(2, auth=auth) as servers, channels(servers.addresses, **options) as made:
        stub = pybrpc.Stub(ECHO, getattr(pybrpc, kind)(made, timeout=30))
        everybody = threading.Barrier(10)

        def call(number: int) -> None:
            everybody.wait()
            assert stub.Echo(REQUEST).message

        in_threads(10, call)
        assert sum(servers.calls) == (20 if kind == "ParallelChannel" else 10)
        assert len(auth.made) == (2 if connection_type == "single" else sum(servers.calls))


@pytest.mark.parametrize("form", ["future", "asyncio"])
@each_kind
def test_cancel_before_anything_is_answered(kind: str, form: str) -> None:
    controller = pybrpc.Controller()
    ended: list[bool] = []

    def cancel(future: Any) -> None:
        future.add_done_callback(lambda done: ended.append(done.cancelled()))
        assert future.cancel()
        assert controller.error_code == ErrorCode.ECANCELED

    async def cancel_in_loop(addresses: list[str]) -> None:
        async with aio_channels(addresses) as made:
            stub = pybrpc.Stub(ECHO, getattr(pybrpc.aio, kind)(made, timeout=30))
            cancel(stub.Echo(REQUEST, controller=controller))
            await asyncio.sleep(0)

    with silent_cluster() as (servers, _):
        if form == "asyncio":
            asyncio.run(cancel_in_loop(servers.addresses))
        else:
            with channels(servers.addresses) as made:
                stub = pybrpc.Stub(ECHO, getattr(pybrpc, kind)(made, timeout=30))
                cancel(stub.Echo.future(REQUEST, controller=controller))
        assert ended == [True]
        assert {sub.code for sub in controller.sub_calls} == {ErrorCode.ECANCELED}


@each_kind
def test_destroy_channel(kind: str) -> None:
    """Nobody has the channel any more, nor those below it: the call ends as if they had."""
    ended: list[str] = []

    def start(addresses: list[str]) -> Any:
        made = [pybrpc.Channel(address, timeout=30, connect_timeout=30) for address in addresses]
        combo = getattr(pybrpc, kind)(made, timeout=30)
        future = pybrpc.Stub(ECHO, combo).Echo.future(REQUEST)
        future.add_done_callback(lambda done: ended.append(done.result().message))
        return future

    with silent_cluster() as (servers, go_on):
        future = start(servers.addresses)
        gc.collect()
        wait_until(lambda: sum(servers.calls) == (2 if kind == "ParallelChannel" else 1))
        gc.collect()
        go_on.set()
        assert future.result(30).message in ("server 0", "server 1")
        wait_until(lambda: len(ended) == 1)


@each_form
def test_http_header_parallel_channels(form: str) -> None:
    """Each sub call has a head of its own, and so has its response."""

    def mapper(index: int, count: int, method: str, request: Any) -> Any:
        own = pybrpc.Controller()
        own.http_request.headers["x-number"] = str(index)
        return pybrpc.SubCall(request, own)

    def add(combo: Any, made: list[Any]) -> None:
        for channel in made * 4:
            combo.add_channel(channel, mapper=mapper)

    def behave(request: Any, controller: Any) -> None:
        controller.http_response.headers["x-got"] = controller.http_request.headers["x-number"]

    with cluster(2) as servers:
        for member in servers.members:
            member.behave = behave
        controller = pybrpc.Controller()
        call_over(
            form,
            "ParallelChannel",
            servers.addresses,
            REQUEST,
            add,
            controller=controller,
            channel_options={"protocol": "http"},
        )
    got = [sub.controller.http_response.headers["x-got"] for sub in controller.sub_calls]
    assert got == [str(index) for index in range(8)]
