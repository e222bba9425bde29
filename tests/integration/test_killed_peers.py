"""A process that is killed in the middle of anything leaves its peer with a clear error."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, RpcError
from soak.ledger import is_expected
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.serving import make_server
from tests.peers.tls import certificates

ROOT = Path(__file__).parents[2]
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(1, 4))]
TIMEOUT_S = 60.0
HANG_S = 30.0
"""Well below the timeout of calls: an error of a killed peer must come before that."""

SERVER = """
import sys, pybrpc
from tests.peers.serving import make_server
from tests.peers.tls import ServerTls
cert, key = sys.argv[1:]
server = make_server(tls=ServerTls(cert=cert, key=key) if cert else None)
print(server.start("127.0.0.1:0"), flush=True)
sys.stdin.read()
"""

CLIENT = """
import sys, threading, pybrpc
from tests.peers.echo import ECHO, echo_request
address, ca = sys.argv[1:]
tls = pybrpc.ClientTls(ca=ca, server_name="server.test") if ca else None

def call(kind):
    while True:
        with pybrpc.Channel(address, timeout=60, tls=tls, connection_type=kind) as channel:
            echo = pybrpc.Stub(ECHO, channel).Echo
            for size in (1, 100_000) * 50:
                echo(echo_request("x" * size))

for kind in ("single", "pooled", "short", "short"):
    threading.Thread(target=call, args=[kind], daemon=True).start()
print("calls", flush=True)
sys.stdin.read()
"""

over_tls = pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])


@contextlib.contextmanager
def running(code: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of that code, and the first line that it prints."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = ['src', '.']\n{code}"]
    with subprocess.Popen(
        [*command, *arguments], cwd=ROOT, stdin=-1, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


class Callers:
    """Threads that call in all ways, until told to stop; each failure is noted with its time."""

    def __init__(self, address: str, tls: Any) -> None:
        self.answered = 0
        self.failures: list[tuple[float, BaseException]] = []
        self._over = threading.Event()
        self._address, self._tls = address, tls
        kinds = ("single", "pooled", "short", "short")
        self._threads = [threading.Thread(target=self._call, args=[kind]) for kind in kinds]
        for thread in self._threads:
            thread.start()

    def end(self) -> bool:
        """Whether all ended."""
        self._over.set()
        for thread in self._threads:
            thread.join(HANG_S)
        return not any(thread.is_alive() for thread in self._threads)

    def _call(self, kind: Any) -> None:
        options: dict[str, Any] = {"timeout": TIMEOUT_S, "connect_timeout": TIMEOUT_S}
        with pybrpc.Channel(
            self._address, tls=self._tls, connection_type=kind, max_retry=0, **options
        ) as channel:
            echo: Any = pybrpc.Stub(ECHO, channel).Echo
            while not self._over.is_set():
                started_at = time.monotonic()
                try:
                    futures = [echo.future(echo_request("x" * size)) for size in (1, 1, 300_000)]
                    for future in futures:
                        future.result(HANG_S)
                        self.answered += 1
                except BaseException as error:
                    self.failures.append((time.monotonic() - started_at, error))


@over_tls
@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_is_killed_is_a_clear_error_of_every_call(seed: int, over_tls: bool) -> None:
    files, source = certificates().server, random.Random(seed)
    arguments = (files.cert, files.key) if over_tls else ("", "")
    with running(SERVER, *arguments) as (process, address):
        callers = Callers(address, certificates().client_tls() if over_tls else None)
        try:
            if seed:
                wait_until(lambda: callers.answered > 0)
            time.sleep(source.random() * 0.3)
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait_until(lambda: len(callers.failures) >= 4)
        finally:
            has_ended = callers.end()
        assert has_ended
    for seconds, error in callers.failures:
        assert isinstance(error, RpcError)
        assert is_expected(error), error
        assert error.code != ErrorCode.ERPCTIMEDOUT
        assert error.peer == address
        assert seconds < HANG_S


@over_tls
@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_that_is_killed_leaves_nothing_in_the_server(seed: int, over_tls: bool) -> None:
    source = random.Random(seed)
    options = {"tls": certificates().server_tls()} if over_tls else {}
    with make_server(**options) as server:
        address = str(server.start("127.0.0.1:0"))
        for _ in range(3):
            requests = server.statistics().requests
            with running(CLIENT, address, certificates().ca if over_tls else "") as (process, _):
                if source.random() < 0.8:
                    wait_until(lambda requests=requests: server.statistics().requests > requests)
                time.sleep(source.random() * 0.2)
                process.send_signal(signal.SIGKILL)
                process.wait()
            wait_until(lambda: server.statistics().connections == 0)
            wait_until(lambda: server.statistics().running == 0)
        assert server._run is not None
        wait_until(lambda: server._run.unanswered.size_bytes == 0)
        assert server.unfinished() == []
