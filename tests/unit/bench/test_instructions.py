"""Instructions of a call: names, and a count by callgrind itself."""

from __future__ import annotations

import pytest

from bench.instructions import count, readable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("PROGRAM", ""),
        ("???:__pyx_f_6pybrpc_6client_4call_4Call_start", "client.call.Call.start"),
        ("__pyx_f_6pybrpc_6client_4call_4Call__send", "client.call.Call._send"),
        (
            "__pyx_pw_6pybrpc_9transport_6socket_6Socket_44on_readable",
            "transport.socket.Socket.on_readable",
        ),
        ("Objects/call.c:PyObject_Call'2", "PyObject_Call'2"),
    ],
)
def test_names_are_those_of_the_source(name: str, shown: str) -> None:
    assert readable(name) == shown


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.program("valgrind")
def test_a_call_costs_as_many_instructions_each_time() -> None:
    few, many = (count("client", "pybrpc-aio", 2, calls)[""] for calls in (20, 220))
    more = count("client", "pybrpc-aio", 2, 420)[""]
    assert 0.5 < (many - few) / (more - many) < 2
