"""How much processor time a server of RTMP takes for each second of each player; Linux only.

    python -m tests.peers.rtmp_load [--players 50] [--seconds 10] [--bits 2000000]
    python -m tests.peers.rtmp_load --url rtmp://127.0.0.1:1935/live/stream --pid PID

The server is nginx-rtmp, started for it, or one that runs already: its URL and its process. ffmpeg
publishes H.264 with noise in the picture, so that it has the bit rate asked for, and AAC.
Players are sockets of this one process: they ask to play, then read and forget. They acknowledge
nothing. Counted are user and system time of the server alone, while all players play. A server that
gives a player less than nearly all of the stream is an error, and no figure.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.oracles.rtmp_chunks import COMMAND, HANDSHAKE_SIZE
from tests.peers.flv_files import tags_of
from tests.peers.nginx_rtmp import NginxRtmp
from tests.peers.rtmp_programs import ffmpeg_pusher, make_source
from tests.peers.running_program import LIMIT_S

PROCESS_CLOCK = 2
"""Makes the id of a process' clock of a process id, as clock_getcpuclockid(3) does on Linux."""
CHUNK = 128
READ_BYTES = 262_144
BEGIN_S = 2.5
"""How long the players play before the count begins and after it ends, so that each is between two
keyframes, of which the stream has one a second."""
ENOUGH = 0.95
"""The share of the stream's bits that each player should receive at least. No two seconds of the
stream have the same size, so a few percent are by chance."""


class NotDeliveredError(RuntimeError):
    """The server took no stream, or has given a player too little of it."""


class Load(NamedTuple):
    """The result of a measurement.

    server_cpu_s        processor time of the server, in seconds
    received            bytes that each player received meanwhile
    source_bits_per_s   bit rate of what is published
    """

    seconds: float
    server_cpu_s: float
    received: list[int]
    source_bits_per_s: float

    def cpu_us_per_player_second(self) -> float:
        return self.server_cpu_s / self.seconds / len(self.received) * 1e6

    def bits_per_s(self) -> float:
        """Bit rate that a player received, on average."""
        return sum(self.received) * 8 / len(self.received) / self.seconds

    def least_share(self) -> float:
        """The share of the stream that the player with the least received; 1.0 is all of it."""
        return min(self.received) * 8 / self.seconds / self.source_bits_per_s


class Players:
    """Sockets that play one stream, read in the thread that calls `read_until`."""

    def __init__(self, url: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.received = [0] * count
        self._sockets: list[socket.socket] = []
        try:
            for number in range(count):
                sock = connect_player(url)
                self._sockets.append(sock)
                self._selector.register(sock, selectors.EVENT_READ, number)
        except BaseException:
            self.close()
            raise

    def read_until(self, end: float) -> None:
        """Read and forget until this time of `time.monotonic`."""
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                data = key.fileobj.recv(READ_BYTES)  # type: ignore[union-attr]
                if not data:
                    raise ConnectionError("the server has closed the connection of a player")
                self.received[key.data] += len(data)

    def close(self) -> None:
        self._selector.close()
        for sock in self._sockets:
            sock.close()


def connect_player(url: str) -> socket.socket:
    """Connect, and send all commands up to `play` without waiting for their answers.

    The stream that `createStream` makes has the id 1 in every server that was tried.
    """
    name = name_in(url)
    return connect(url, text("play") + number(0) + b"\5" + text(name) + number(-2000))


def connect_publisher(url: str) -> socket.socket:
    """As `connect_player`, up to `publish`."""
    return connect(url, text("publish") + number(0) + b"\5" + text(name_in(url)) + text("live"))


def name_in(url: str) -> str:
    """The name of the stream, with the parameters behind it."""
    parts = urlsplit(url)
    name = parts.path[1:].partition("/")[2]
    return f"{name}?{parts.query}" if parts.query else name


def connect(url: str, last: bytes) -> socket.socket:
    """Connect, and send all commands; `last` is the one of the stream."""
    parts = urlsplit(url)
    app = parts.path[1:].partition("/")[0]
    sock = socket.create_connection((parts.hostname, parts.port or 1935), LIMIT_S)
    try:
        c1 = bytes(8) + os.urandom(1528)
        sock.sendall(b"\3" + c1)
        answer = read_exactly(sock, HANDSHAKE_SIZE)
        tc_url = f"rtmp://{parts.netloc}/{app}"
        begin = text("connect") + number(1) + fields(app=app, flashVer="load", tcUrl=tc_url)
        create = text("createStream") + number(2) + b"\5"
        sock.sendall(answer[1:1537] + command(0, begin) + command(0, create) + command(1, last))
    except BaseException:
        sock.close()
        raise
    return sock


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("the server has closed in the handshake")
        data += part
    return data


def text(value: str) -> bytes:
    return b"\2" + member(value)


def member(value: str) -> bytes:
    return len(value.encode()).to_bytes(2) + value.encode()


def number(value: float) -> bytes:
    return b"\0" + struct.pack(">d", value)


def fields(**values: str) -> bytes:
    members = b"".join(member(name) + text(value) for name, value in values.items())
    return b"\3" + members + b"\0\0\x09"


def command(stream_id: int, body: bytes) -> bytes:
    """A message in chunks of 128 bytes."""
    header = bytes(3) + len(body).to_bytes(3) + bytes([COMMAND]) + struct.pack("<I", stream_id)
    parts = [body[begin : begin + CHUNK] for begin in range(0, len(body), CHUNK)]
    return b"\3" + header + b"\xc3".join(parts)


def processor_time_s(pid: int) -> float:
    """User and system time of all threads of a process so far, in seconds.

    Exact to the microsecond or better: /proc/PID/stat counts in steps of 10 ms, which is a third of
    what a good server takes for 50 players in two seconds.
    """
    return time.clock_gettime(~pid << 3 | PROCESS_CLOCK)


def bit_rate_of(source: Path, length_s: float) -> float:
    """Bits a second of audio and video in a file. Without its first second, which is larger."""
    sizes = [len(tag.payload) for tag in tags_of(source) if tag.timestamp_ms >= 1000]
    return sum(sizes) * 8 / (length_s - 1)


def measure(url: str, pid: int, players: int, seconds: float, bits_per_s: int) -> Load:
    """Publish to `url` and play from it for so many seconds, and a few more around them.

    NotDeliveredError if ffmpeg can't publish all that time, or if a player has received less than
    ENOUGH of the stream.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybrpc-load-")))
        length = seconds + 2 * BEGIN_S + 2
        source = make_source(folder / "source.flv", length, bits_per_s, "640x360", noise=30)
        playing = Players(url, players)
        stack.callback(playing.close)
        pusher = stack.enter_context(ffmpeg_pusher(source, url))
        playing.read_until(time.monotonic() + BEGIN_S)
        received, cpu_s, begin = playing.received[:], processor_time_s(pid), time.monotonic()
        playing.read_until(begin + seconds)
        load = Load(
            time.monotonic() - begin,
            processor_time_s(pid) - cpu_s,
            [now - then for now, then in zip(playing.received, received, strict=True)],
            bit_rate_of(source, length),
        )
        if not pusher.is_running():
            raise NotDeliveredError(f"ffmpeg does not publish any more: {pusher.log().strip()}")
    if load.least_share() < ENOUGH:
        raise NotDeliveredError(f"a player received {load.least_share():.0%} of the stream")
    return load


@contextmanager
def server_of(url: str | None, pid: int) -> Iterator[tuple[str, int]]:
    if url is not None:
        yield url, pid
        return
    with NginxRtmp() as server:
        yield server.url(), server.program.pid


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.rtmp_load")
    parser.add_argument("--players", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--bits", type=int, default=2_000_000, help="bits a second of the video")
    parser.add_argument("--url", help="of a server that runs already; needs --pid")
    parser.add_argument("--pid", type=int, default=0, help="its process")
    options = parser.parse_args()
    if (options.url is None) != (options.pid == 0):
        parser.error("--url and --pid belong together")
    with server_of(options.url, options.pid) as (url, pid):
        load = measure(url, pid, options.players, options.seconds, options.bits)
    print(
        f"{options.players} players, {load.bits_per_s() / 1e6:.2f} of "
        f"{load.source_bits_per_s / 1e6:.2f} Mbit/s each, "
        f"{load.seconds:.1f} s: {load.server_cpu_s:.2f} s of processor time, "
        f"{load.cpu_us_per_player_second():.0f} us for a second of a player"
    )


if __name__ == "__main__":
    main()
