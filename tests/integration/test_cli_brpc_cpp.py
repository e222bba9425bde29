"""Commands against servers of C++ bRPC."""

from __future__ import annotations

import pytest

from pybrpc.cli.main import main
from tests.peers.brpc_cpp import ONE_BY_ONE, cpp_server, needs_cpp

pytestmark = needs_cpp


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
