"""ServerVariables: exposed from the start of a server to the end of its stop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.builtin.registry import PAGES
from pybrpc.errors import RpcError
from pybrpc.metrics import Adder, list_exposed, to_brpc_metrics
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.lifecycle.server_variables import MAX_COUNTED, RunningCalls
from pybrpc.transport.listening.acceptor import Acceptor
from tests.fakes.metrics import SteppedSampler, counts, number, own_variables
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import SERVICE, RawPeer, request, text_of
from tests.peers.serving import Gate, async_echo, make_server, serving_in_loop, start

ECHO = "conformance_echo_service_echo"


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    with own_variables() as sampler:
        yield sampler


def fail(request: Any, controller: Any) -> Any:
    raise RpcError("no", code=1234)


def of_servers() -> set[str]:
    """The exposed names below "rpc_server_", but for how many there are."""
    return {name for name in list_exposed() if name.startswith("rpc_server_")} - {
        "rpc_server_count"
    }


def test_server_exposes_what_bRPC_does_until_its_stop_is_over(sampler: SteppedSampler) -> None:
    with make_server(max_concurrency=7) as server:
        assert of_servers() == set()
        prefix = f"rpc_server_{start(server).port}"
        for name, value in {
            "builtin_service_count": len(PAGES),
            "concurrency": 0,
            "connection_count": 0,
            "eps": 0,
            "error": 0,
            "max_concurrency": 7,
            "service_count": 1,
        }.items():
            assert number(f"{prefix}_{name}") == value
        assert number(f"{prefix}_uptime") >= 0
        assert f"{prefix}_start_time" in of_servers()
        for name in ("qps", "latency", "latency_99", "max_latency", "count", "error", "eps"):
            assert number(f"{prefix}_{ECHO}_{name}") == 0
        assert number("rpc_server_count") == 1
        assert number("pid") > 0
    assert of_servers() == set()
    assert number("rpc_server_count") == 0


def test_server_without_pages_has_no_builtin_services(sampler: SteppedSampler) -> None:
    with make_server(builtin_services=False) as server:
        assert number(f"rpc_server_{start(server).port}_builtin_service_count") == 0


def test_calls_are_counted_before_a_client_has_its_response(sampler: SteppedSampler) -> None:
    with make_server(Stream=fail) as server, RawPeer(start(server)) as peer:
        prefix = f"rpc_server_{server.endpoint.port}"
        for _ in range(3):
            assert text_of(peer.call()) == "hello"
        peer.call(method="Stream")
        assert number(f"{prefix}_connection_count") == 1
        assert number(f"{prefix}_{ECHO}_count") == 3
        assert number(f"{prefix}_{ECHO}_error") == 0
        stream = f"{prefix}_conformance_echo_service_stream"
        assert (number(f"{stream}_count"), number(f"{stream}_error")) == (0, 1)
        assert number(f"{prefix}_error") == 0, "the method is known"
        sampler.pass_seconds()
        assert number(f"{prefix}_{ECHO}_qps") == 3
        assert number(f"{stream}_eps") == 1
    assert counts("server") == {"OK": 3, "1234": 1}


def test_page_of_cpp_has_a_summary_of_each_method() -> None:
    with make_server(server_info_name="x") as server, RawPeer(start(server)) as peer:
        peer.call()
        lines = to_brpc_metrics().splitlines()
    assert f"# TYPE rpc_server_x_{ECHO} summary" in lines
    assert f"rpc_server_x_{ECHO}_count 1" in lines
    assert f"rpc_server_x_{ECHO}_error 0" in lines
    assert "rpc_server_x_connection_count 1" in lines


def test_requests_without_a_method_are_errors_of_the_server() -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        prefix = f"rpc_server_{server.endpoint.port}"
        peer.call(method="Nothing")
        peer.call(service="none.Such")
        assert number(f"{prefix}_error") == 2
        assert number(f"{prefix}_{ECHO}_error") == 0


def test_limit_of_a_method_is_an_error_of_it_and_that_of_the_server_is_not() -> None:
    gate = Gate()
    with (
        make_server(gate) as server,
        RawPeer(start(server)) as peer,
        RawPeer(server.endpoint) as other,
    ):
        prefix = f"rpc_server_{server.endpoint.port}"
        server.set_max_concurrency(f"{SERVICE.full_name}.Echo", 1)
        assert number(f"{prefix}_{ECHO}_max_concurrency") == 1
        peer.send(request(1))
        gate.wait_entered()
        assert number(f"{prefix}_{ECHO}_concurrency") == 1
        assert number(f"{prefix}_concurrency") == 1
        other.call()
        assert number(f"{prefix}_{ECHO}_error") == 1
        assert number(f"{prefix}_error") == 0
        assert counts("server") == {"ELIMIT": 1}
        gate.open()


def test_restarted_server_begins_at_0_and_the_labelled_counts_go_on() -> None:
    server = make_server()
    for run in (1, 2):
        with server:
            prefix = f"rpc_server_{start(server).port}"
            with RawPeer(server.endpoint) as peer:
                peer.call()
            assert number(f"{prefix}_{ECHO}_count") == 1
            assert counts("server") == {"OK": run}


def test_start_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(acceptor: Acceptor) -> None:
        raise RuntimeError("can't start new thread")

    server = make_server()
    with monkeypatch.context() as patch:
        patch.setattr(Acceptor, "start", refuse)
        with pytest.raises(RuntimeError):
            start(server)
    assert of_servers() == set()
    assert all(entry.times is None for entry in server._registry.entries())


def test_name_that_is_given_replaces_the_port() -> None:
    with make_server(server_info_name="SearchServer") as server:
        start(server)
        assert number("rpc_server_search_server_connection_count") == 0
        assert number(f"rpc_server_search_server_{ECHO}_count") == 0


def test_second_server_of_a_name_gets_a_number() -> None:
    with make_server(server_info_name="x") as first, make_server(server_info_name="x") as second:
        start(first)
        start(second)
        with RawPeer(second.endpoint) as peer:
            peer.call()
        assert number(f"rpc_server_x_{ECHO}_count") == 0
        assert number(f"rpc_server_x_2_{ECHO}_count") == 1
        assert number("rpc_server_count") == 2
    assert of_servers() == set()


def test_variable_of_the_user_with_the_same_name_remains() -> None:
    mine = Adder(f"rpc_server_x_{ECHO}_error")
    with make_server(server_info_name="x") as server:
        start(server)
        assert number(f"rpc_server_x_{ECHO}_2_error") == 0
    assert of_servers() == {mine.name}


def test_generic_service_is_one_method() -> None:
    with make_server(server_info_name="x") as server:
        server.add_generic_service(lambda request, controller: b"")
        start(server)
        with RawPeer(server.endpoint) as peer:
            for number_of_call in range(3):
                peer.call(service=f"made.Up{number_of_call}")
        assert number("rpc_server_x_generic_count") == 3
        assert number("rpc_server_x_error") == 0


def test_server_on_a_unix_socket_has_its_path_as_name(unix_path: Path) -> None:
    with make_server() as server:
        server.start(f"unix:{unix_path}")
        (name,) = (name for name in of_servers() if name.endswith("_connection_count"))
        assert name.startswith("rpc_server_unix_tmp_pybrpc_")


def test_server_in_a_loop_has_variables_too() -> None:
    async def main() -> None:
        async with serving_in_loop(async_echo) as server:
            prefix = f"rpc_server_{server.endpoint.port}"
            assert number(f"{prefix}_{ECHO}_count") == 0
        assert of_servers() == set()

    asyncio.run(main())


def test_running_calls_are_counted_by_method_at_most_every_100_ms_if_they_are_many() -> None:
    one, two = MethodEntry(None, print), MethodEntry(None, print)
    admission: Any = SimpleNamespace(running=[called(one)] * 3 + [called(two)])
    running = RunningCalls(admission)
    assert (running.of(one), running.of(two)) == (3, 1)
    admission.running = [called(two)] * (MAX_COUNTED + 1)
    running._latest = float("inf"), running._latest[1]
    assert running.of(two) == 1
    running._latest = float("-inf"), running._latest[1]
    assert running.of(two) == MAX_COUNTED + 1


def called(entry: MethodEntry) -> Any:
    return SimpleNamespace(entry=entry)


def test_canceled_call_is_an_error() -> None:
    entered = threading.Event()

    async def never(request: Any, controller: Any) -> Any:
        entered.set()
        await asyncio.Event().wait()

    with make_server(never) as server:
        prefix = f"rpc_server_{start(server).port}"
        with RawPeer(server.endpoint) as peer:
            peer.send(request(1))
            assert entered.wait(30)
            assert number(f"{prefix}_{ECHO}_concurrency") == 1
            peer.reset()
        wait_until(lambda: number(f"{prefix}_{ECHO}_error") == 1)
        assert counts("server") == {"ECANCELED": 1}


FORKED = """
import os, threading
from pybrpc import metrics
from tests.peers.serving import make_server, start
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import RawPeer

server = make_server()
start(server)
own = [name for name in metrics.list_exposed() if name.startswith("rpc_server_")]
assert len(own) > 20, own
child = os.fork()
if not child:
    code = 1
    try:
        left = [name for name in metrics.list_exposed() if name.startswith("rpc_server_")]
        assert left == ["rpc_server_count"], left
        assert metrics.describe_exposed("rpc_server_count") == "0"
        with server:
            start(server)
            with RawPeer(server.endpoint) as peer:
                peer.call()
            name = f"rpc_server_{server.endpoint.port}_conformance_echo_service_echo_count"
            assert metrics.describe_exposed(name) == "1", metrics.describe_exposed(name)
        code = 0
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert own == [name for name in metrics.list_exposed() if name.startswith("rpc_server_")]
server.stop()
server.join()
"""


def test_forked_child_has_no_variables_of_its_parents_server() -> None:
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=120)
    assert ran.returncode == 0
