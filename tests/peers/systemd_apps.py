"""Programs that serve under a service manager, as processes of their own:

python -m tests.peers.systemd_apps run ADDRESS     run_until_asked_to_quit, with a drain
python -m tests.peers.systemd_apps loop ADDRESS    a server in an asyncio loop
python -m tests.peers.systemd_apps shared ADDRESS  one that shares its port
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

import pybrpc
from tests.peers.echo import ECHO
from tests.peers.worker_apps import WorkerEcho
from tests.protos import conformance_pb2 as pb


class Echo(WorkerEcho):
    """As there. "environment" is answered with the variables of systemd that are left, "child" with
    what a child finds of descriptor 3, and "pause" after a moment."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        text = request.message
        if text == "environment":
            left = (name for name in os.environ if name.startswith(("LISTEN_", "NOTIFY_", "WATCH")))
            return pb.EchoResponse(message=" ".join(sorted(left)))
        if text == "child":
            return pb.EchoResponse(message=str(os.get_inheritable(3)))
        if text == "pause":
            time.sleep(0.3)
        return WorkerEcho.Echo(self, request, controller)


class StuckEcho(Echo):
    """Blocks the loop in which it runs."""

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return Echo.Echo(self, request, controller)

    Stream = Echo


def make_server(**options: Any) -> pybrpc.Server:
    server = pybrpc.Server(**options)
    server.add_service(ECHO, Echo())
    return server


def run(address: str, **options: Any) -> None:
    server = make_server(**options)
    print(f"serving on {server.start(address)}", flush=True)
    server.run_until_asked_to_quit(grace=10)


async def run_in_loop(address: str) -> None:
    server = pybrpc.Server()
    server.add_service(ECHO, StuckEcho())
    async with server:
        print(f"serving on {await server.start_async(address)}", flush=True)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
        with server.notifying_systemd():
            await server.wait_stopped()


if __name__ == "__main__":
    kind, where = sys.argv[1:]
    if kind == "loop":
        asyncio.run(run_in_loop(where))
    else:
        run(where, **{"run": {"drain_delay": 0.5}, "shared": {"reuse_port": True}}[kind])
