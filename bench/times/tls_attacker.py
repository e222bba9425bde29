"""python -m bench.times.tls_attacker DEED PORT COUNT: a peer that costs a server TLS work.

It prints "ready"; strikes when it reads a line, and prints "done" when the server has answered.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sys

from bench.echo_messages import PACKAGE, EchoRequest
from bench.times.key_updates import RECORD_BYTES, key_updates_among_data
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest

UPLOAD_BYTES = 256 * 1024


class TlsClient:
    """One connection, whose handshake goes on when it is told to."""

    def __init__(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self.outgoing)
        self.sock = socket.create_connection(("127.0.0.1", port))
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.hello = self.outgoing.read()

    def go_on(self) -> bool:
        """The socket can be read. Whether the handshake is over."""
        self._incoming.write(self.sock.recv(65_536))
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.sock.sendall(self.outgoing.read())
        return True


def shake_hands(clients: list[TlsClient]) -> None:
    """All begin at once; return when all have ended."""
    for client in clients:
        client.sock.sendall(client.hello)
    waiting = {client.sock.fileno(): client for client in clients}
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting:
        for fd, _ in poll.poll():
            if waiting[fd].go_on():
                poll.unregister(fd)
                del waiting[fd]


def strike(client: TlsClient, records: bytes, answers: int) -> None:
    """Send KeyUpdate messages, and read the answers to them."""
    client.sock.setblocking(False)
    left, view = answers * RECORD_BYTES, memoryview(records)
    poll = select.poll()
    while left > 0:
        poll.register(client.sock, select.POLLIN | (select.POLLOUT if view else 0))
        poll.poll()
        with contextlib.suppress(BlockingIOError):
            left -= len(client.sock.recv(1 << 20)) or left
        with contextlib.suppress(BlockingIOError):
            view = view[client.sock.send(view[: 1 << 20]) :] if view else view


def upload(clients: list[TlsClient], records: list[bytes]) -> None:
    """Send these to the clients' connections, all at once, and read the first bytes of each
    response."""
    poll = select.poll()
    waiting: dict[int, tuple[socket.socket, memoryview]] = {}
    for client, data in zip(clients, records, strict=True):
        client.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while client.sock.recv(1 << 16):  # session tickets
                continue
        waiting[client.sock.fileno()] = client.sock, memoryview(data)
        poll.register(client.sock, select.POLLOUT)
    while waiting:
        for fd, _ in poll.poll():
            sock, left = waiting[fd]
            if not left:
                sock.recv(1 << 16)
                poll.unregister(fd)
                del waiting[fd]
                continue
            with contextlib.suppress(BlockingIOError):
                left = left[sock.send(left) :]
            waiting[fd] = sock, left
            poll.modify(fd, select.POLLOUT if left else select.POLLIN)


def upload_of(client: TlsClient) -> bytes:
    """The records of a long request."""
    body = EchoRequest(message="x", payload=bytes(UPLOAD_BYTES)).SerializeToString()
    request = RpcRequest(1, f"{PACKAGE}.EchoService", "Echo", body)
    client.tls.write(bytes(BAIDU_STD.pack_request(request)))
    return client.outgoing.read()


def main() -> None:
    deed, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    clients = [TlsClient(port) for _ in range(1 if deed == "key_updates" else count)]
    records: list[bytes] = []
    if deed != "handshakes":
        shake_hands(clients)
    if deed == "key_updates":
        records = [key_updates_among_data(clients[0].tls, clients[0].outgoing, count)]
    elif deed == "uploads":
        records = [upload_of(client) for client in clients]
    print("ready", flush=True)
    for _ in sys.stdin:
        if deed == "key_updates":
            strike(clients[0], records[0], count)
        elif deed == "uploads":
            upload(clients, records)
        else:
            shake_hands(clients)
        print("done", flush=True)


if __name__ == "__main__":
    main()
