"""The server of the demo, in a process of its own.

python -m demo.server    prints its port; ends with stdin, then prints what it served, as JSON
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoResponse


class EchoService:
    """The handler: a plain method that returns the response."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


def main() -> None:
    server = pybrpc.Server()
    server.add_service(SERVICE, EchoService())
    endpoint = server.start("127.0.0.1:0")
    print(endpoint.port, flush=True)
    sys.stdin.read()
    statistics = server.statistics()
    server.stop(grace=1.0)
    server.join()
    served = {
        "connections": statistics.accepted,
        "requests": statistics.requests,
    }
    print(json.dumps(served), flush=True)


if __name__ == "__main__":
    main()
