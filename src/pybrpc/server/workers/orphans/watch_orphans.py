"""The program that ends the workers of a supervisor that is gone.

A worker notices itself that its supervisor is gone, and stops. But not if an extension holds the
GIL, the global lock of the interpreter: then no Python code of the worker can run, and the worker
would keep the port for ever. So one more process waits for the end of the supervisor. It imports
nothing of pybrpc, which makes it small. `OrphanWatch` starts it, with these arguments:

    supervisor  process id of the supervisor
    commands    descriptor of a Unix socket, whose other end is the supervisor's: 8 bytes are the
                process id of a worker that is to be watched, together with its listening socket; or
                a negative one, of a worker that has ended
    noticed     descriptor of a pipe: 8 bytes are the process id of a worker that has noticed the
                end of its supervisor, and stops by itself
    notice      seconds in which a worker has to notice it; else it is killed
    limit       seconds after which a worker that has noticed is killed; "none" for no limit
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time

PID = struct.Struct("=q")

LOOK_S = 0.5
"""Seconds between looks where the system can't notify of the end of a process."""

BLOCKED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals for the supervisor and the workers, which are easily sent to all processes with a name.
The program is started with these blocked."""


class Process:
    """Another process. With a descriptor of it, if the system has such: a process id is soon that
    of another process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.has_ended = False
        self.fd = -1
        try:
            self.fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.has_ended = True
        except (OSError, AttributeError):
            pass

    def look(self) -> None:
        """Notice whether it has ended."""
        if self.has_ended:
            return
        if self.fd >= 0:
            self.has_ended = bool(readable([self.fd], 0.0))
        else:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                self.has_ended = True

    def kill(self) -> None:
        self.look()
        if self.has_ended:
            return
        with contextlib.suppress(ProcessLookupError):
            if self.fd >= 0:
                signal.pidfd_send_signal(self.fd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Watch:
    """The workers of one supervisor."""

    def __init__(self, supervisor: Process, commands: socket.socket, noticed_fd: int) -> None:
        self._supervisor = supervisor
        self._commands = commands
        self._noticed_fd = noticed_fd
        self._workers: dict[int, Process] = {}
        self._listeners: dict[int, int] = {}
        self._noticed: set[int] = set()

    def wait_for_end_of_supervisor(self) -> None:
        """Obey its commands until then. A process that it has forked can keep the socket open, so
        the end of the stream may not come."""
        fds = [fd for fd in (self._commands.fileno(), self._supervisor.fd) if fd >= 0]
        limit_s = LOOK_S if len(fds) < 2 else None
        while True:
            if self._commands.fileno() in readable(fds, limit_s):
                if not self._obey():
                    return
                continue
            self._supervisor.look()
            if self._supervisor.has_ended:
                return

    def end_workers(self, notice_s: float, limit_s: float | None) -> None:
        """Refuse connections, kill the workers that don't notice, and later those that are late."""
        began = time.monotonic()
        for fd in self._listeners.values():
            with contextlib.suppress(OSError), socket.socket(fileno=fd) as listener:
                listener.shutdown(socket.SHUT_RDWR)
        self._wait_until(began + notice_s)
        for worker in self._workers.values():
            if worker.pid not in self._noticed:
                worker.kill()
        if limit_s is not None:
            self._wait_until(began + limit_s)
            for worker in self._workers.values():
                worker.kill()

    def _obey(self) -> bool:
        """Obey one command; False at the end of the stream."""
        try:
            data, fds, _, _ = socket.recv_fds(self._commands, PID.size, 1)
        except OSError:
            return False
        if len(data) < PID.size:
            return False
        (pid,) = PID.unpack(data)
        self._forget(abs(pid))
        if pid > 0:
            self._workers[pid] = Process(pid)
            for fd in fds:
                self._listeners[pid] = fd
        return True

    def _forget(self, pid: int) -> None:
        worker, listener = self._workers.pop(pid, None), self._listeners.pop(pid, -1)
        if worker is not None:
            worker.close()
        if listener >= 0:
            os.close(listener)

    def _wait_until(self, deadline: float) -> None:
        """Or until all workers have ended."""
        while True:
            for worker in self._workers.values():
                worker.look()
            left = [worker for worker in self._workers.values() if not worker.has_ended]
            left_s = deadline - time.monotonic()
            if not left or left_s <= 0:
                return
            fds = [worker.fd for worker in left if worker.fd >= 0]
            wait_s = left_s if len(fds) == len(left) else min(left_s, LOOK_S)
            if self._noticed_fd >= 0:
                fds.append(self._noticed_fd)
            if self._noticed_fd in readable(fds, wait_s):
                self._read_notices()

    def _read_notices(self) -> None:
        data = os.read(self._noticed_fd, 512 * PID.size)
        whole = len(data) - len(data) % PID.size
        self._noticed.update(pid for (pid,) in PID.iter_unpack(data[:whole]))
        if not data:
            self._noticed_fd = -1


def readable(fds: list[int], limit_s: float | None) -> list[int]:
    """Those descriptors that can be read, or are at their end. Waits for the first of them."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(None if limit_s is None else limit_s * 1000)]


def main() -> None:
    supervisor, commands, noticed, notice, limit = sys.argv[1:]
    sock = socket.socket(fileno=int(commands))
    watch = Watch(Process(int(supervisor)), sock, int(noticed))
    watch.wait_for_end_of_supervisor()
    watch.end_workers(float(notice), None if limit == "none" else float(limit))


if __name__ == "__main__":
    main()
