"""The examples of docs/overload.md run as they stand there, and their limits hold."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from tests.peers.pages import run_page
from tests.peers.raw_peer import SERVICE, RawPeer, request, text_of
from tests.peers.serving import EchoService, Gate, start


def test_examples_of_the_page_limit_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    module: Any = types.ModuleType("echo_service")
    module.SERVICE, module.EchoService = SERVICE, lambda: EchoService(gate)
    monkeypatch.setitem(sys.modules, "echo_service", module)
    names: dict[str, Any] = {"__name__": "page"}
    run_page("docs/overload.md", names, {})
    with names["server"] as server, RawPeer(start(server)) as peer:
        # The limit of the server is 40 at first.
        server.set_max_concurrency("EchoService.Stream", "unlimited")
        peer.send(*(request(i) for i in range(40)))
        gate.wait_entered(40)
        refused = peer.call()
        assert refused.error_code == ErrorCode.ELIMIT
        assert "Reached server's max_concurrency=40 (auto)" in refused.error_text
        gate.open()
        assert len(peer.read_answers(40)) == 40
        assert text_of(peer.call()) == "hello"
    reserve = names["Reserve"]()
    assert reserve.admits(91, 0.5)
    assert not reserve.admits(91, None)
