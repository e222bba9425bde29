"""The variables of a C++ bRPC 1.17 server: each is exposed, or docs/metrics.md says why not.

The names were read from its page /vars.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

import pybrpc
from pybrpc.client.calls.address_variables import ADDRESSES
from pybrpc.errors import RpcError
from pybrpc.metrics import (
    describe_exposed,
    list_exposed,
    take_snapshot,
    to_brpc_metrics,
    to_openmetrics,
    to_prometheus,
)
from pybrpc.metrics.wildcards import Wildcards
from tests.fakes.metrics import SteppedSampler, number, own_variables
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.redis_server import free_port
from tests.peers.serving import make_server, start
from tests.protos import conformance_pb2 as pb

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests/golden/vectors/variables_of_cpp.txt"
METHOD = "conformance_echo_service_echo"


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    with own_variables() as sampler:
        ADDRESSES.start_anew()
        yield sampler
        ADDRESSES.start_anew()


def missing_by_docs() -> Wildcards:
    """The names that docs/metrics.md calls missing."""
    text = (ROOT / "docs/metrics.md").read_text()
    section = text.partition("## Variables of bRPC that are missing")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return Wildcards(";".join(name for row in rows for name in re.findall("`([^`]+)`", row)))


def test_each_variable_of_cpp_is_here_or_is_listed_as_missing() -> None:
    missing = missing_by_docs()
    with make_server() as server, caller("blocking", str(start(server))) as client:
        client.call(echo_request())
        exposed = list_exposed()
        port = server.endpoint.port
        for recorded in RECORDED.read_text().split():
            name = recorded.replace("PORT", str(port)).replace("METHOD", METHOD)
            assert (name in exposed) != missing.match(name), name
            assert "raised" not in str(describe_exposed(name))


def fails(request: object, controller: pybrpc.Controller) -> pb.EchoResponse:
    raise RpcError("no", code=1234)


@pytest.mark.program("promtool")
def test_promtool_and_parsers_have_no_objection_to_a_server_and_channels(
    sampler: SteppedSampler,
) -> None:
    with make_server() as server, make_server(Echo=fails) as broken:
        for each, may_fail in ((server, ()), (broken, RpcError)):
            with pybrpc.Channel(str(start(each)), max_retry=0) as channel:
                with contextlib.suppress(may_fail):
                    pybrpc.Stub(ECHO, channel).Echo(echo_request())
        sampler.pass_seconds(2)
        snapshot, old = take_snapshot(), to_brpc_metrics()
        text = to_prometheus(snapshot)
        assert not re.search(r"^# TYPE \S+_count (gauge|counter)$", text, re.MULTILINE)
        assert "\nrpc_servers 2\n" in text
        assert f"\nrpc_server_{server.endpoint.port}_connections " in text
        assert "\nrpc_server_count 2\n" in old
        assert f"\nrpc_server_{server.endpoint.port}_connection_count " in old
        assert len(list(parse_openmetrics(to_openmetrics(snapshot)))) > 40
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_endpoint_that_is_down_is_counted_while_it_is_dialled() -> None:
    with pybrpc.Channel(f"127.0.0.1:{free_port()}", max_retry=0, timeout=10) as channel:
        with pytest.raises(RpcError):
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert number("rpc_health_check_count") == 1
    assert number("rpc_health_check_count") == 0
