"""FaultyProxy: each fault, seen by plain sockets on both sides."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from pybrpc.testing.faulty_proxy import (
    CutAt,
    Delay,
    DropFrom,
    Fault,
    Faults,
    FaultyProxy,
    HalfCloseAt,
    Refuse,
    ResetAt,
    Slow,
    Stall,
)
from pybrpc.testing.faulty_proxy.proxied_connection import is_self_connected
from tests.peers.proxied import (
    HANG_S,
    Proxied,
    connect_and_be_reset,
    connect_to,
    proxied,
    receive,
    receive_all,
    receive_until_reset,
)

MiB = 1 << 20
DIRECTIONS = ("to_server", "to_client")
both_ways = pytest.mark.parametrize("direction", DIRECTIONS)
at_any_byte = pytest.mark.parametrize("count", [0, 1, 11, 70_000])


def ends(
    both: Proxied, direction: str, *faults: Fault
) -> tuple[socket.socket, socket.socket, socket.socket]:
    """Sender, receiver and client of a connection with these faults in that direction."""
    client, server = both.pair(Faults(**{direction: faults}))
    return (client, server, client) if direction == "to_server" else (server, client, client)


def blob(size: int) -> bytes:
    return bytes(range(251)) * (size // 251 + 1)


def send_in_background(sock: socket.socket, data: bytes) -> threading.Thread:
    """Send all of it, or until the connection breaks."""

    def send() -> None:
        try:
            sock.sendall(data)
        except OSError:
            return

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def send_until_it_breaks(sock: socket.socket) -> None:
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        sock.send(b"x")
        time.sleep(0.001)


def test_without_faults_bytes_and_ends_pass_both_ways() -> None:
    data = blob(3 * MiB)
    with proxied() as both:
        client, server = both.pair()
        sending = send_in_background(client, data)
        assert receive(server, len(data)) == data
        sending.join()
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        server.sendall(b"late")
        server.close()
        assert receive_all(client) == b"late"


def test_a_reset_is_passed_on() -> None:
    with proxied() as both:
        client, server = both.pair()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        assert receive_until_reset(client) == b""


@both_ways
@at_any_byte
def test_cut_at_a_byte(direction: str, count: int) -> None:
    data = blob(100_000)
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, CutAt(count))
        sending = send_in_background(sender, data)
        assert receive_all(receiver) == data[:count]
        assert receive_all(sender) == b""
        sending.join()
        assert both.proxy.statistics().faults == {"CutAt": 1}


@both_ways
def test_reset_at_once(direction: str) -> None:
    with proxied(plan=Faults(**{direction: [ResetAt()]})) as both:
        connect_and_be_reset(both.proxy.address)
        assert receive_until_reset(both.accept()) == b""


@both_ways
@pytest.mark.parametrize("count", [1, 11, 70_000])
def test_reset_at_a_byte(direction: str, count: int) -> None:
    data = blob(100_000)
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, ResetAt(count))
        sending = send_in_background(sender, data)
        assert receive_until_reset(receiver) == data[:count]
        sending.join()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_until_it_breaks(sender)
        assert both.proxy.statistics().faults == {"ResetAt": 1}


def test_a_reset_waits_for_a_slow_reader() -> None:
    """All bytes before the reset arrive, though they did not fit into the reader's kernel."""
    data = blob(8 * MiB)
    with proxied() as both:
        client, server = both.pair(Faults(to_client=[ResetAt(len(data) - 5)]))
        sending = send_in_background(server, data)
        time.sleep(0.05)
        assert receive_until_reset(client) == data[:-5]
        sending.join()


@both_ways
@at_any_byte
def test_half_close_at_a_byte_lets_the_other_direction_go_on(direction: str, count: int) -> None:
    data = blob(100_000)
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, HalfCloseAt(count))
        sending = send_in_background(sender, data)
        assert receive_all(receiver) == data[:count]
        sending.join()
        receiver.sendall(b"still here")
        assert receive(sender, 10) == b"still here"
        receiver.close()
        assert receive_all(sender) == b""


@both_ways
@at_any_byte
def test_drop_from_a_byte(direction: str, count: int) -> None:
    data = blob(1 * MiB)
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, DropFrom(count))
        sender.sendall(data)
        receiver.sendall(b"still here")
        assert receive(sender, 10) == b"still here"
        sender.close()
        assert receive_all(receiver) == data[:count]
        assert both.proxy.statistics().bytes_dropped == len(data) - count


@both_ways
@at_any_byte
def test_stall_at_a_byte_until_resumed(direction: str, count: int) -> None:
    data = blob(100_000)
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, Stall(count))
        sender.sendall(data)
        assert receive(receiver, count) == data[:count]
        receiver.settimeout(0.05)
        with pytest.raises(TimeoutError):
            receiver.recv(1)
        receiver.settimeout(HANG_S)
        both.proxy.resume()
        assert receive(receiver, len(data) - count) == data[count:]


@both_ways
def test_a_stall_ends_after_its_time(direction: str) -> None:
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, Stall(2, seconds=0.05), Stall(4, seconds=0.05))
        sender.sendall(b"abcdef")
        assert receive(receiver, 6) == b"abcdef"
        assert both.proxy.statistics().faults == {"Stall": 2}


@both_ways
def test_an_end_behind_a_stall(direction: str) -> None:
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, Stall(2, seconds=0.02), CutAt(4))
        sender.sendall(b"abcdef")
        assert receive_all(receiver) == b"abcd"


@both_ways
def test_slow_passes_small_chunks(direction: str) -> None:
    """The second one most of an hour later."""
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, Slow(0.001, chunk_bytes=3))
        sender.sendall(b"abcdefghij")
        assert receiver.recv(100) == b"abc"


@both_ways
def test_slow_passes_all_in_the_end(direction: str) -> None:
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, Slow(1000, chunk_bytes=3))
        sender.sendall(b"abcdefghij")
        sender.shutdown(socket.SHUT_WR)
        assert receive_all(receiver) == b"abcdefghij"


@both_ways
def test_a_delay_loses_nothing_and_comes_before_the_end_of_the_stream(direction: str) -> None:
    with proxied() as both:
        sender, receiver, _ = ends(both, direction, Delay(0.05))
        started = time.monotonic()
        sender.sendall(b"abc")
        sender.shutdown(socket.SHUT_WR)
        assert receive(receiver, 3) == b"abc"
        assert time.monotonic() - started >= 0.05
        assert receive_all(receiver) == b""


def test_faults_of_both_directions_and_several_of_one() -> None:
    with proxied() as both:
        client, server = both.pair(
            Faults(
                to_server=[Slow(10_000, chunk_bytes=2), DropFrom(5)],
                to_client=[Delay(0.01), CutAt(3)],
            )
        )
        client.sendall(b"request")
        assert receive(server, 5) == b"reque"
        server.sendall(b"answer")
        assert receive_all(client) == b"ans"
        assert receive_all(server) == b""
        faults = both.proxy.statistics().faults
        assert faults == {"Slow": 1, "DropFrom": 1, "Delay": 1, "CutAt": 1}


@pytest.mark.parametrize("resets", [True, False])
def test_a_refused_connection_is_not_seen_by_the_server(resets: bool) -> None:
    with proxied() as both:
        both.proxy.set_next(Faults(refuse=Refuse(resets)))
        if resets:
            connect_and_be_reset(both.proxy.address)
        else:
            assert receive_all(both.connect()) == b""
        client, server = both.pair()
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        statistics = both.proxy.statistics()
        assert (statistics.accepted, statistics.refused, statistics.open) == (2, 1, 1)
        assert statistics.faults == {"Refuse": 1}


def test_a_peer_that_does_not_read_slows_the_sender_down() -> None:
    with proxied() as both:
        client, server = both.pair()
        client.setblocking(False)
        sent = 0
        try:
            for _ in range(1000):
                sent += client.send(bytes(MiB))
                time.sleep(0.001)
        except BlockingIOError:
            pass
        else:
            pytest.fail("the proxy took a GiB that nobody reads")
        client.close()
        assert len(receive_all(server)) == sent


def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    path, listen = tmp_path / "server", tmp_path / "proxy"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(HANG_S)
        with FaultyProxy(
            f"unix:{path}", Faults(to_client=[CutAt(3)]), listen=f"unix:{listen}"
        ) as proxy:
            assert proxy.address == f"unix:{listen}"
            with connect_to(proxy.address) as client:
                client.sendall(b"hello")
                server, _ = listener.accept()
                with server:
                    assert receive(server, 5) == b"hello"
                    server.sendall(b"answer")
                    assert receive_all(client) == b"ans"
        assert not listen.exists()


def test_a_socket_that_is_connected_to_itself_is_found() -> None:
    """So a proxy whose server is down does not echo what clients send."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert not is_self_connected(sock)
        sock.connect(sock.getsockname())
        assert is_self_connected(sock)
    with proxied() as both:
        client, _ = both.pair()
        assert not is_self_connected(client)
