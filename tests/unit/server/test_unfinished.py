from __future__ import annotations

from pybrpc.server.values import UnfinishedCall, UnfinishedConnection, describe


def test_description_of_nothing_is_short() -> None:
    assert describe([], []) == "0 requests; 0 connections"


def test_call_and_connection_in_words() -> None:
    call = UnfinishedCall("echo.Echo", "10.0.0.1:5", 12.34, "open")
    gone = UnfinishedCall("echo.Echo", "10.0.0.1:6", 0.5, "gone")
    connection = UnfinishedConnection("10.0.0.1:5", "closing", 2, 77)
    assert describe([gone, call], [connection]) == (
        "2 requests (echo.Echo of 10.0.0.1:5 for 12.3 s; "
        "echo.Echo of 10.0.0.1:6 for 0.5 s, connection gone); "
        "1 connection (10.0.0.1:5, closing, 2 requests running, 77 bytes unwritten)"
    )


def test_streams_and_other_users_of_a_connection_are_counted_apart() -> None:
    def text(holds: int, streams: int) -> str:
        return str(UnfinishedConnection("peer", "open", 1, 1, holds, streams))

    assert text(0, 0) == "peer, open, 1 request running, 1 byte unwritten"
    assert text(1, 1) == "peer, open, 1 request running, 1 stream, 1 byte unwritten"
    assert text(1, 0) == "peer, open, 1 request running, 1 other user, 1 byte unwritten"
    assert text(5, 3) == "peer, open, 1 request running, 3 streams, 2 other users, 1 byte unwritten"


def test_description_names_the_oldest_calls_and_fullest_connections() -> None:
    calls = [UnfinishedCall("m", f"peer-{age}", age, "open") for age in range(1000)]
    connections = [UnfinishedConnection(f"host-{size}", "open", 0, size) for size in range(1000)]
    text = describe(calls, connections)
    assert text.startswith("1000 requests (m of peer-999 for 999.0 s;")
    assert "1000 connections (host-999, open" in text
    assert text.count("and 995 more") == 2
    assert len(text) < 1000
