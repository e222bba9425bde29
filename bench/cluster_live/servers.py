"""LiveServers: many servers in a few processes; those that misbehave have a process of their own.

Each server has an IP address of this machine for itself, so that no outgoing connection takes the
port of one that is down for a moment. Linux has all of 127.0.0.0/8.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from contextlib import ExitStack
from typing import Self

from bench.child_process import ChildProcess
from bench.cluster_live.host import SERVICE_S

PER_PROCESS = 8
"""Servers that behave well, in one process."""
START_LIMIT_S = 60.0


class LiveServer:
    """One of them. Not thread-safe, as the processes are not."""

    def __init__(self, process: HostProcess, number: int) -> None:
        self._process = process
        self._number = number

    @property
    def address(self) -> str:
        return self._process.addresses[self._number]

    def sleep(self, seconds: float) -> None:
        """Have its handlers take as long from now on."""
        self._process.command("sleep", self._number, seconds)

    def fail(self) -> None:
        """Have it answer each request with an error at once from now on."""
        self._process.command("fail", self._number)

    def stop(self) -> None:
        """Gracefully; returns when it has ended."""
        self._process.command("stop", self._number)

    def start(self) -> None:
        """Again, at the same address."""
        self._process.command("start", self._number)

    def pause(self) -> None:
        """Make its process a black hole: it takes connections and bytes, and never answers."""
        self._process.pause()

    def go_on(self) -> None:
        self._process.go_on()

    def kill(self) -> None:
        """Its process; `revive` starts another one, unless it runs."""
        self._process.kill()

    def revive(self) -> None:
        self._process.start()

    def ran(self) -> int:
        """How many handlers have run, those of killed processes apart."""
        return int(self._process.command("ran").split()[self._number])


class HostProcess:
    """A process of host.py."""

    def __init__(self, kind: str, service_s: float, addresses: list[str]) -> None:
        self._kind = kind
        self._service_s = service_s
        self.addresses = addresses
        self._stack = ExitStack()
        self._is_running = False
        self._is_paused = False
        self.start()

    def start(self) -> None:
        if self._is_running:
            return
        module = "bench.cluster_live.host"
        options = [self._kind, str(self._service_s), *self.addresses]
        command = [sys.executable, "-m", module, *options]
        process = ChildProcess(command, {}, f"a host of {self._kind} servers")
        self._process = self._stack.enter_context(contextlib.closing(process))
        self.addresses = self._process.read_line(START_LIMIT_S).split()
        self._is_running = True

    def command(self, *words: object) -> str:
        self._process.write_line(" ".join(map(str, words)))
        return self._process.read_line()

    def pause(self) -> None:
        self._is_paused = True
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._is_running = False
        self._process.kill()
        self._stack.close()

    def close(self) -> None:
        self.go_on()
        self._stack.close()


class LiveServers:
    """`alone` of them have processes of their own: the first ones."""

    def __init__(self, kind: str, count: int, alone: int, service_s: float = SERVICE_S) -> None:
        self._processes: list[HostProcess] = []
        self.servers: list[LiveServer] = []
        starts = [*range(alone), *range(alone, count, PER_PROCESS), count]
        try:
            for start, end in itertools.pairwise(starts):
                addresses = [f"127.77.0.{number + 1}:0" for number in range(start, end)]
                process = HostProcess(kind, service_s, addresses)
                self._processes.append(process)
                self.servers += [LiveServer(process, index) for index in range(end - start)]
        except BaseException:
            self.close()
            raise

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    def ran(self) -> list[int]:
        """The handlers of each that have run, those of killed processes apart."""
        return [server.ran() for server in self.servers]

    def __getitem__(self, number: int) -> LiveServer:
        return self.servers[number]

    def close(self) -> None:
        for process in self._processes:
            process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
