"""The process of a server. It ends, with all of its group, when its stdin does.

python -m bench.http.serve NAME PORT
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading

from bench.http.servers import SERVERS, HttpServer


def main(name: str, port: str) -> None:
    threading.Thread(target=end_with_stdin, daemon=True).start()
    server = SERVERS[name]
    hide(server)
    module, attribute = server.where.split(":")
    serve = getattr(importlib.import_module(f"bench.http.{module}"), attribute)
    serve(int(port))


def hide(server: HttpServer) -> None:
    """Let modules be as if they were not installed."""
    for module in server.without:
        sys.modules[module] = None  # type: ignore[assignment]


def end_with_stdin() -> None:
    """Nothing is kept, so all may be killed: there are no requests then."""
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
