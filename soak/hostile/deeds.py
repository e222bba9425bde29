"""Deeds of a hostile peer. Each makes its connections and closes them; OSError is a usual end."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from bench.times.key_updates import key_updates, key_updates_among_data
from pybrpc.iobuf import IOBuf
from soak.hostile.stream_deeds import flood_streams, leave_streams_open, storm_with_stream_frames
from soak.hostile.victim import Victim, reset, trusting_context

Deed = Callable[[Victim, random.Random], None]

MOST_PIPELINED = 20_000
FLOOD = 40
"""Connections of a flood of handshakes."""

SLOW_READS = 30
META_BYTES = 500_000
KEY_UPDATES = 5000


def send_garbage(victim: Victim, source: random.Random) -> None:
    """Send bytes of no protocol, and wait for the server to close."""
    with victim.connect_plainly() as sock:
        sock.sendall(source.randbytes(source.randint(1, 5000)))
        read_until_closed(sock)


def send_half_a_message(victim: Victim, source: random.Random) -> None:
    """Begin a request, and leave before it is whole."""
    frame = victim.frame(1, "x" * source.randint(0, 100_000))
    with victim.connect() as sock:
        sock.sendall(frame[: source.randrange(len(frame))])
        time.sleep(source.uniform(0.0, 0.5))
        if source.random() < 0.5:
            reset(sock)


def read_slowly(victim: Victim, source: random.Random) -> None:
    """Ask for much, read it in small pieces, and leave most of it."""
    with victim.connect() as sock:
        for number in range(50):
            sock.sendall(victim.frame(number, attachment=IOBuf(bytes(65_536))))
        for _ in range(SLOW_READS):
            sock.recv(1024)
            time.sleep(0.02)
        reset(sock)


def reset_after_two_requests(victim: Victim, source: random.Random) -> None:
    """Leave with a reset while the handlers of two requests run."""
    with victim.connect() as sock:
        for number in range(2):
            sock.sendall(victim.frame(number, sleep_us=source.randint(0, 200_000)))
        time.sleep(source.choice((0.0, 0.01)))
        reset(sock)


def flood_with_handshakes(victim: Victim, source: random.Random) -> None:
    """Begin TLS on many connections at once; to a server without TLS it is garbage."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(victim.connect_plainly()) for _ in range(FLOOD)]
        for sock in socks:
            sock.sendall(client_hello())
        for sock in socks:
            if source.random() < 0.5:
                reset(sock)
        time.sleep(source.uniform(0.0, 0.2))


def flood_with_key_updates(victim: Victim, source: random.Random) -> None:
    """Send many KeyUpdate messages of TLS at once, and read some of the answers, or none."""
    if not victim.has_tls:
        send_garbage(victim, source)
        return
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting_context().wrap_bio(incoming, outgoing)
    with victim.connect_plainly() as sock:
        while not is_established(client):
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65_536))
        sock.sendall(outgoing.read())
        make = source.choice((key_updates, key_updates_among_data))
        sock.sendall(make(client, outgoing, source.choice((100, KEY_UPDATES))))
        if source.random() < 0.5:
            read_until_closed(sock)
        reset(sock)


def send_big_metas(victim: Victim, source: random.Random) -> None:
    """Send requests whose metas are long, in one field or another."""
    fields: tuple[dict[str, Any], ...] = (
        {"credential": b"soak user " + b"e" * META_BYTES},
        {"checksum_value": bytes(META_BYTES)},
        {"request_id": "i" * META_BYTES},
        {"user_fields": {f"name {number}": "value" * 10 for number in range(META_BYTES // 100)}},
    )
    with victim.connect() as sock:
        sock.sendall(victim.frame(0))
        for number in range(1, 8):
            sock.sendall(victim.frame(number, **source.choice(fields)))
        read_until_closed(sock)


def pipeline_requests(victim: Victim, source: random.Random) -> None:
    """Send many requests at once, and read some of the responses, or all."""
    count = source.choice((500, 2000, MOST_PIPELINED))
    with victim.connect() as sock:
        sock.sendall(b"".join(victim.frame(number) for number in range(count)))
        if source.random() < 0.5:
            read_until_closed(sock)
        reset(sock)


DEEDS: tuple[Deed, ...] = (
    send_garbage,
    send_half_a_message,
    read_slowly,
    reset_after_two_requests,
    flood_with_handshakes,
    flood_with_key_updates,
    send_big_metas,
    pipeline_requests,
    flood_streams,
    storm_with_stream_frames,
    leave_streams_open,
)


def read_until_closed(sock: socket.socket) -> None:
    """Read until the server closes, or nothing has come for a while: TimeoutError."""
    sock.settimeout(0.3)
    while sock.recv(1 << 18):
        pass


def is_established(client: ssl.SSLObject) -> bool:
    """Go on with the handshake. Whether it is over."""
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def client_hello() -> bytes:
    """The first message of a TLS handshake."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting_context().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()
