"""An answer whose body the message type refuses is ERESPONSE, whatever protobuf raises for it."""

from __future__ import annotations

from typing import Any

from tests.cases.child import run_in_child
from tests.cases.peers import LATE_S, in_thread, outcomes_by_key
from tests.peers.callers import caller
from tests.peers.echo import echo_request
from tests.peers.scripted_server import Peer, ScriptedServer

INVALID_UTF_8 = b"\x0a\x02\xff\xfe"
"""An EchoResponse whose message is no text."""
FORMS = ("blocking", "future", "callback", "asyncio")


def answer_with_invalid_utf_8(peer: Peer) -> None:
    while (request := peer.read_request()) is not None:
        peer.answer(request, body=INVALID_UTF_8)


def outcomes_of_answers_with_invalid_utf_8() -> dict[str, dict[str, int]]:
    futures: dict[str, Any] = {}
    with ScriptedServer(answer_with_invalid_utf_8) as server:
        for form in FORMS:

            def call(form: str = form) -> Any:
                with caller(form, server.address, max_retry=0) as made:
                    return made.call(echo_request())

            futures[form] = [in_thread(call)]
        return outcomes_by_key(futures, LATE_S)


def test_answer_with_invalid_utf_8_is_eresponse_with_protobuf_in_pure_python() -> None:
    found = run_in_child(
        outcomes_of_answers_with_invalid_utf_8, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python"
    )
    assert found == {key: {"ERESPONSE": 1} for key in FORMS}
