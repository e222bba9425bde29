"""A missing credential is heard by each call once; a log id is unsigned, as in C++."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.testing import channel_for
from tests.cases.peers import PATIENT_S, FullEcho, echo_stub, outcomes_of, serving
from tests.peers.echo import ECHO, echo_request

CALLS = 64


class Password:
    def __init__(self) -> None:
        self.may_verify = threading.Event()

    def generate_credential(self) -> bytes:
        return b"good"

    def verify_credential(self, credential: bytes, client: Any) -> pybrpc.AuthContext:
        self.may_verify.wait(PATIENT_S)
        if credential != b"good":
            raise PermissionError
        return pybrpc.AuthContext(user="somebody")


def test_calls_without_a_credential_all_hear_erpcauth_at_their_first_attempt() -> None:
    """All are sent before the server looks at the first one, and closes the connection."""
    password = Password()
    with channel_for(
        ECHO, FullEcho(), timeout=PATIENT_S, server_options={"auth": password}
    ) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        futures = [stub.Echo.future(echo_request()) for _ in range(CALLS)]
        password.may_verify.set()
        assert outcomes_of(futures) == {"ERPCAUTH": CALLS}
        assert channel.endpoint_statistics().created == 1


class NotesLogIds(FullEcho):
    def __init__(self) -> None:
        self.seen: list[int | None] = []

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.seen.append(controller.log_id)
        return super().Echo(request, controller)


@pytest.mark.parametrize("log_id", [2**63, 2**64 - 1])
def test_log_id_from_2_to_the_63_arrives(log_id: int) -> None:
    service = NotesLogIds()
    with serving(service) as address:
        stub = echo_stub(address)
        stub.Echo(echo_request(), controller=pybrpc.Controller(log_id=log_id))
    assert service.seen == [log_id]
