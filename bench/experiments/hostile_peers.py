"""The cost to a server of a peer without permission: the figures of SECURITY.md.

    python -m bench.experiments.hostile_peers

The server is a process of its own, so that memory and processor time are its alone. Each line is
one kind of peer: bytes of resident memory, or processor time, for one of what it does.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from bench.echo_messages import EchoRequest
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.rpc.compress import CompressType

COUNT = 500

SERVER = """
import asyncio, os, resource, sys
import pybrpc
from bench.echo_messages import SERVICE, EchoResponse

class Echo:
    async def Echo(self, request, controller):
        if request.message == "wait":
            await asyncio.sleep(3600)
        return EchoResponse()

tls = None
if sys.argv[1]:
    import trustme
    trustme.CA().issue_cert("server.test").private_key_and_cert_chain_pem.write_to_path(sys.argv[1])
    tls = pybrpc.ServerTls(cert=sys.argv[1])
server = pybrpc.Server(tls=tls, handshake_timeout=600, message_timeout=600)
server.add_service(SERVICE, Echo())
print(server.start("127.0.0.1:0").port, flush=True)
for line in sys.stdin:
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * resource.getpagesize()
    found = server.statistics()
    print(used.ru_utime + used.ru_stime, resident, found.connections, found.requests, flush=True)
os._exit(0)
"""


class Victim:
    """A server, and what it has spent."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)

    def spent(self) -> tuple[float, int, int, int]:
        """Seconds of processor time, resident bytes, connections and requests so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        seconds, *numbers = self._process.stdout.readline().split()
        resident, connections, requests = map(int, numbers)
        return float(seconds), resident, connections, requests

    def wait_for(self, connections: int = 0, requests: int = 0) -> None:
        while True:
            _, _, has_connections, has_requests = self.spent()
            if has_connections >= connections and has_requests >= requests:
                return


@contextlib.contextmanager
def victim(cert: str = "") -> Iterator[Victim]:
    command = [sys.executable, "-c", SERVER, cert]
    with subprocess.Popen(command, stdin=-1, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Victim(process, int(process.stdout.readline()))
        finally:
            process.kill()


def frame(body: bytes, **fields: Any) -> bytes:
    request = RpcRequest(1, "bench.EchoService", "Echo", body, **fields)
    return bytes(BAIDU_STD.pack_request(request))


def measure(
    what: str, unit: float, of: str, attack: Callable[[Victim], Any], cert: str = ""
) -> None:
    """Run `attack`; what it keeps stays open until the server was measured."""
    with victim(cert) as server:
        with server.connect() as first:  # what is made once
            first.close()
        server.wait_for(0)
        seconds, resident, *_ = server.spent()
        kept = attack(server)
        seconds_after, resident_after, *_ = server.spent()
        memory, cpu = (resident_after - resident) / unit, (seconds_after - seconds) / unit
        print(f"{what:<44} {memory / 1024:>10.2f} KiB {cpu * 1e6:>10.2f} us   a {of}", flush=True)
        del kept


def connections_that(say: bytes) -> Callable[[Victim], list[socket.socket]]:
    def attack(server: Victim) -> list[socket.socket]:
        made = []
        for _ in range(COUNT):
            made.append(server.connect())
            made[-1].sendall(say)
        server.wait_for(connections=COUNT)
        return made

    return attack


def requests(data: bytes, count: int, answers: bool = True) -> Callable[[Victim], socket.socket]:
    def attack(server: Victim) -> socket.socket:
        sock = server.connect()
        for _ in range(count):
            sock.sendall(data)
            if answers:
                sock.recv(65536)
        if not answers:
            server.wait_for(requests=count)
        return sock

    return attack


def small_requests(server: Victim) -> socket.socket:
    """In batches, answers read."""
    sock = server.connect()
    batch = frame(b"") * 100
    for _ in range(200):
        sock.sendall(batch)
        left = 100 * 26
        while left > 0:
            left -= len(sock.recv(65536))
    return sock


def client_hello() -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def main() -> None:
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    half = struct.pack("!4sII", b"PRPC", 60_000_000, 100)
    measure("connection that says nothing", COUNT, "connection", connections_that(b""))
    measure("header of 60 MB", COUNT, "connection", connections_that(half))
    measure("64 KiB of 60 MB", COUNT, "connection", connections_that(half + bytes(65524)))
    cert = "/tmp/pybrpc-hostile-peers.pem"
    measure("TLS: connection that says nothing", COUNT, "connection", connections_that(b""), cert)
    measure(
        "TLS: ClientHello, then nothing",
        COUNT,
        "connection",
        connections_that(client_hello()),
        cert,
    )
    waiting = frame(EchoRequest(message="wait").SerializeToString())
    measure(
        "request that is not answered", 20_000, "request", requests(waiting, 20_000, answers=False)
    )
    measure("small request", 20_000, "request", small_requests)
    unknown = frame(b"", user_fields={str(i): "" for i in range(80_000)})
    measure(f"meta of {len(unknown):,} bytes", 20 * len(unknown), "byte", requests(unknown, 20))
    bomb = EchoRequest(payload=bytes(60_000_000)).SerializeToString()
    packed = frame(zlib.compress(bomb, wbits=31), compress_type=int(CompressType.GZIP))
    measure(
        f"gzip of 60 MB in {len(packed):,} bytes", 20 * len(packed), "byte", requests(packed, 20)
    )


if __name__ == "__main__":
    main()
