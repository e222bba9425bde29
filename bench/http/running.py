"""A server of HTTP that runs, and answers as it should."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.child_process import ChildFailedError, ChildProcess
from bench.http.servers import SERVERS
from bench.http.tasks import Task
from bench.peers.brpc_cpp import CppServer
from bench.peers.cpp_program import START_LIMIT_S, free_port, listens
from bench.process_time import group_cpu_s

STEP_S = 0.02
ANSWER_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class RunningHttpServer:
    """It listens on 127.0.0.1."""

    process: ChildProcess
    port: int

    def cpu_s(self) -> float:
        """Its processor time so far, with the processes that it has started."""
        return group_cpu_s(self.process.pid)


@contextlib.contextmanager
def running_http_server(name: str, task: Task) -> Iterator[RunningHttpServer]:
    """Start the server of that name. ChildFailedError if it does not answer `task`, at the
    beginning and at the end."""
    with started(name) as server:
        check_answer(server.port, task)
        yield server
        check_answer(server.port, task)


@contextlib.contextmanager
def started(name: str) -> Iterator[RunningHttpServer]:
    """The server, once it listens. All its processes are killed at the end."""
    found = SERVERS[name]
    if not found.where:
        cpp = CppServer()
        with cpp.process as process:
            yield RunningHttpServer(process, cpp.port)
        return
    port = free_port()
    command = [sys.executable, "-m", "bench.http.serve", name, str(port)]
    with ChildProcess(command, found.environment, f"the server of {name}") as process:
        try:
            wait_until_it_listens(process, port)
            yield RunningHttpServer(process, port)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_it_listens(process: ChildProcess, port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    while not listens(port):
        if not process.is_running:
            raise process.failed("has ended")
        if time.monotonic() > end:
            raise process.failed("doesn't listen")
        time.sleep(STEP_S)


def check_answer(port: int, task: Task) -> None:
    """ChildFailedError if the answer of the server is another one."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_LIMIT_S)
    with contextlib.closing(client):
        headers = {"Content-Type": task.content_type} if task.body else {}
        try:
            client.request("POST" if task.body else "GET", task.path, task.body or None, headers)
            response = client.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ChildFailedError(f"no answer: {type(error).__name__}: {error}") from error
    content_type = response.headers.get("Content-Type", "")
    if response.status != 200 or not task.is_answer(content_type, body):
        raise ChildFailedError(f"another answer: {response.status} {content_type} {body[:80]!r}")
