"""python -m bench.times.peer: a peer that reads, answers nothing, and resets when it is told to.

It prints its port. Lines that it reads: "stop" and "read", and "reset" for all connections.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading

PAUSE_S = 0.01


class SilentPeer:
    """Accepts on a free port. A connection resets as soon as it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._socks: list[socket.socket] = []
        self._reads = threading.Event()
        self._reads.set()
        threading.Thread(target=self._accept_all, daemon=True).start()

    def stop_reading(self) -> None:
        self._reads.clear()

    def read_on(self) -> None:
        self._reads.set()

    def reset_all(self) -> None:
        for sock in self._socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self._socks.clear()

    def _accept_all(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            sock.settimeout(PAUSE_S)
            self._socks.append(sock)
            threading.Thread(target=self._read, args=(sock,), daemon=True).start()

    def _read(self, sock: socket.socket) -> None:
        while sock.fileno() >= 0:
            self._reads.wait()
            with contextlib.suppress(TimeoutError, OSError):
                if not sock.recv(1 << 20):
                    return


def main() -> None:
    peer = SilentPeer()
    deeds = {"stop": peer.stop_reading, "read": peer.read_on, "reset": peer.reset_all}
    print(peer.port, flush=True)
    for line in sys.stdin:
        deeds[line.strip()]()
        print("done", flush=True)


if __name__ == "__main__":
    main()
