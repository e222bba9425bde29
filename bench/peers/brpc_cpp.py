"""C++ bRPC's own example, multi_threaded_echo_c++, built by its CMakeLists or Makefile.

The folder that BRPC_CPP_BIN names has its echo_server and echo_client, or the same two under the
names multi_threaded_echo_server and multi_threaded_echo_client; and, for the server, the cert.pem
and key.pem of the example. Its client prints once a second how many calls there were.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figures
from bench.work import TIMEOUT_S, ClosedLoop, Window

VARIABLE = "BRPC_CPP_BIN"
START_LIMIT_S = 10.0
QUIET_LIMIT_S = 10.0
PREFIXES = ("", "multi_threaded_")
_QPS = re.compile(rb"qps=(\d+)")


class CppFailedError(RuntimeError):
    """The C++ server or client did not do what it should."""


def missing() -> str:
    """Why it can't take part, or ""."""
    if not os.environ.get(VARIABLE):
        return f"{VARIABLE} names no folder with its server and client"
    lacks = [side for side in ("server", "client") if program(side) is None]
    return f"no echo_{lacks[0]} in {VARIABLE}" if lacks else ""


def program(side: str) -> Path | None:
    """The program of the "server" or the "client", if it is there."""
    folder = Path(os.environ.get(VARIABLE, ""))
    found = [path for prefix in PREFIXES if (path := folder / f"{prefix}echo_{side}").is_file()]
    return found[0].resolve() if found else None


@contextlib.contextmanager
def running_server() -> Iterator[int]:
    """Its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    with running("server", f"-port={port}", errors=subprocess.DEVNULL):
        wait_until_it_listens(port)
        yield port


def wait_until_it_listens(port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), START_LIMIT_S).close()
        except OSError as error:
            if time.monotonic() > end:
                raise CppFailedError("its echo_server doesn't listen") from error
            time.sleep(0.02)
        else:
            return


def run_client(work: ClosedLoop, window: Window, port: int) -> Figures:
    """The median of what it says of its seconds, but for the first, in which it starts."""
    wanted = max(1, round(window.measure_s))
    flags = (
        f"-server=127.0.0.1:{port}",
        f"-thread_num={work.in_flight}",
        f"-request_size={work.size_bytes}",
        f"-timeout_ms={int(TIMEOUT_S * 1000)}",
    )
    with running("client", *flags, errors=subprocess.PIPE) as process:
        limit = threading.Timer(QUIET_LIMIT_S + wanted, process.kill)
        limit.start()
        assert process.stderr is not None
        told = (int(found[1]) for line in process.stderr if (found := _QPS.search(line)))
        rates = list(itertools.islice(told, 1, 1 + wanted))
        limit.cancel()
    if not rates:
        raise CppFailedError("its echo_client said nothing of its calls")
    rate = statistics.median(rates)
    return {"calls": rate, "calls_per_s": rate}


@contextlib.contextmanager
def running(side: str, *flags: str, errors: int) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in its folder. It is asked to quit afterwards, as by Ctrl-C, then killed."""
    path = program(side)
    assert path is not None
    process = subprocess.Popen(
        [path, *flags],
        cwd=path.parent,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        process_group=0,
    )
    with process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(START_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
