"""pybrpc serve --reload: changed files, and files that are broken for a while."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.commands import Serving, serving
from tests.peers.echo import ECHO, echo_request

pytestmark = pytest.mark.same_everywhere

APP = """
import pybrpc
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

class Service:
    def Echo(self, request, controller):
        return pb.EchoResponse(message="{answer}")
    Stream = Echo

def make_server():
    server = pybrpc.Server()
    server.add_service(ECHO, Service())
    return server
"""


def answer_of(served: Serving) -> str:
    with pybrpc.Channel(served.address, timeout=30) as channel:
        return str(pybrpc.Stub(ECHO, channel).Echo(echo_request("hello")).message)


def test_changed_file_is_served_and_a_broken_one_is_not(tmp_path: Path) -> None:
    module = tmp_path / "reloaded_app.py"
    module.write_text(APP.format(answer="first"))
    # The workers import from the directory of the tests too, which is that of the command.
    arguments = ("reloaded_app:make_server", "--reload", "-C", str(tmp_path))
    with serving(tmp_path / "log", *arguments) as served:
        assert answer_of(served) == "first"
        module.write_text(APP.format(answer="second, which is longer"))
        wait_until(lambda: answer_of(served).startswith("second"))
        module.write_text("this is no Python")
        served.wait_logged("was not replaced")
        assert answer_of(served).startswith("second")
        module.write_text(APP.format(answer="third"))
        wait_until(lambda: answer_of(served) == "third")
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(60) == 0
        assert "reloaded_app.py changed: replacing the workers" in served.logged
