"""Servers for worker processes: named in tests as "tests.cases.apps:make_holding_server"."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pybrpc
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

SLOW_IMPORT_S = "PYBRPC_TEST_SLOW_IMPORT_S"
"""How long the import of this module takes."""
PIDS = "PYBRPC_TEST_PIDS"
"""Names the file to which `make_forking_server` adds the process ids of its children."""

time.sleep(float(os.environ.get(SLOW_IMPORT_S, "0")))


class Holder:
    """Answers its process id: after 2 seconds if the message is "sleep"; never, holding the GIL for
    hours, if it is "hold"."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.message == "hold":
            re.match("(a+)+$", "a" * 60 + "b")
        if request.message == "sleep":
            time.sleep(2)
        return pb.EchoResponse(message=str(os.getpid()))

    Stream = Echo


def make_server() -> pybrpc.Server:
    server = pybrpc.Server()
    server.add_service(ECHO, Holder())
    return server


def make_crashing_server() -> pybrpc.Server:
    """Its process ends soon after its first client has connected.

    Not a while after it is made: on a loaded machine it may serve, and say so, only after that.
    """
    server = make_server()
    threading.Thread(target=crash_after_a_connection, args=(server,), daemon=True).start()
    return server


def crash_after_a_connection(server: pybrpc.Server) -> None:
    while not server.statistics().accepted:
        time.sleep(0.01)
    time.sleep(0.1)
    os._exit(3)


def make_forking_server() -> pybrpc.Server:
    """Forks a child that outlives its worker, as a pool of processes does."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    with Path(os.environ[PIDS]).open("a") as file:
        file.write(f"{pid}\n")
    return make_server()
