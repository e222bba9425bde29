"""Commands against servers of C++ bRPC."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import pybrpc
from bench.echo_messages import EXAMPLE
from bench.peers.cpp_program import free_port
from pybrpc.cli.main import main
from tests.fakes.threads import wait_until
from tests.peers.brpc_cpp import (
    ONE_BY_ONE,
    ExampleService,
    cpp_server,
    example_server,
    needs_cpp,
)
from tests.peers.brpc_cpp_http import TOOLS_VARIABLE

pytestmark = needs_cpp
REPLAY = Path(os.environ.get(TOOLS_VARIABLE, ""), "rpc_replay")


def test_messages_of_a_server_in_cpp_are_read_from_its_pages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with cpp_server(ONE_BY_ONE) as server:
        assert main(["descriptor", server.address]) == 0
        line = "example.EchoService.Echo (example.EchoRequest) returns (example.EchoResponse)"
        assert capsys.readouterr().out == f"{line}\n"
        assert main(["descriptor", server.address, "example.EchoRequest"]) == 0
        assert "string message = 1;" in capsys.readouterr().out


def test_method_of_a_server_in_cpp_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    with cpp_server(ONE_BY_ONE) as server:
        assert main(["call", server.address, "Echo", '{"message": "hello"}', "--json"]) == 0
        assert '"response": {"message": "hello"}' in capsys.readouterr().out


def call(address: str) -> None:
    """A call with an attachment, and one that is compressed."""
    with pybrpc.Channel(address, timeout=30) as channel:
        stub = pybrpc.Stub(EXAMPLE.service, channel)
        controller = pybrpc.Controller()
        controller.request_attachment.append(b"beside")
        stub.Echo(EXAMPLE.request(message=b"hello"), controller=controller)
        controller = pybrpc.Controller()
        controller.request_compress_type = pybrpc.CompressType.GZIP
        stub.Echo(EXAMPLE.request(message=b"x" * 100), controller=controller)


def bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*")))


def test_files_of_rpc_dump_are_those_of_cpp_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    with example_server(ExampleService(), rpc_dump=ours) as server:
        call(str(server.endpoint))
    _, *expected = bytes_in(ours).split(b"PRPC")
    assert len(expected) == 2
    with cpp_server(ONE_BY_ONE, "-rpc_dump", f"-rpc_dump_dir={theirs}") as cpp:
        # It writes when one comes that is two seconds later than the last time.
        call(cpp.address)
        wait_until(lambda: bool(bytes_in(theirs)) or call(cpp.address))
    # It does not keep the order of requests.
    assert all(b"PRPC" + each in bytes_in(theirs) for each in expected)
    service = ExampleService()
    with example_server(service) as server:
        assert main(["replay", str(server.endpoint), str(theirs), "--timeout", "30"]) == 0
    assert b"beside" in {bytes(each.request_attachment) for each in service.seen}
    assert "failed" in capsys.readouterr().out


@pytest.mark.skipif(not REPLAY.is_file(), reason=f"no rpc_replay in {TOOLS_VARIABLE}")
def test_rpc_replay_of_cpp_sends_what_this_server_has_sampled(tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    with example_server(ExampleService(), rpc_dump=folder) as server:
        call(str(server.endpoint))
    service = ExampleService()
    with example_server(service) as server:
        address = str(server.endpoint)
        # Without a dummy server it has no protocols.
        flags = ("-thread_num=1", "-timeout_ms=30000", f"-dummy_port={free_port()}")
        subprocess.run([REPLAY, f"-dir={folder}", f"-server={address}", *flags], check=True)
    assert [bytes(each.request_attachment) for each in service.seen] == [b"beside", b""]
    assert service.seen[1].request_compress_type == pybrpc.CompressType.GZIP
