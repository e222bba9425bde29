"""The proxy that records a connection passes all bytes on and keeps them with their turns."""

from __future__ import annotations

import socket

from tests.peers.recording_proxy import RecordingProxy


def connect(proxy: RecordingProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 30)


def test_bytes_of_both_sides_are_passed_on_and_kept() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        RecordingProxy(listener.getsockname()[1]) as proxy,
        connect(proxy) as client,
    ):
        server, _ = listener.accept()
        with server:
            for part in b"hel", b"lo":
                client.sendall(part)
                assert server.recv(100) == part
            server.sendall(b"there")
            assert client.recv(100) == b"there"
            client.shutdown(socket.SHUT_WR)
            assert server.recv(100) == b""
            server.sendall(b"!")
            assert client.recv(100) == b"!"
        assert client.recv(100) == b""
        proxy.wait()
        assert proxy.sent == {"client": b"hello", "server": b"there!"}
        assert proxy.turns == [("client", 5), ("server", 6)]


def test_proxy_that_nobody_uses_can_be_closed() -> None:
    with RecordingProxy(1):
        pass


def test_closing_the_proxy_ends_a_connection_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with RecordingProxy(listener.getsockname()[1]) as proxy:
            client = connect(proxy)
            server, _ = listener.accept()
        with client, server:
            assert client.recv(100) == b""
            assert server.recv(100) == b""
