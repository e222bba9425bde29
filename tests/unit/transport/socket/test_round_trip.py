"""round_trip: what the kernel measures of a connection."""

from __future__ import annotations

import socket

from pybrpc.transport.socket.round_trip import round_trip_of


def test_a_connection_of_tcp_has_a_round_trip_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            found = round_trip_of(client)
            if not hasattr(socket, "TCP_INFO"):
                assert found is None
            else:
                assert found is not None
                assert 0 < found.rtt_ms < 60_000
                assert 0 <= found.var_ms < 60_000
        assert round_trip_of(client) is None


def test_other_sockets_have_none() -> None:
    one, two = socket.socketpair()
    with one, two:
        assert round_trip_of(one) is None
    assert round_trip_of(None) is None
