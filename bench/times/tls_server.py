"""python -m bench.times.tls_server WHERE: an echo server with TLS, for clients without it too.

WHERE: "threads", or "loop" for a server that is bound to an asyncio loop.

It prints its port, and ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoResponse
from soak.tls import tls_pair


class Echo:
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


def main() -> None:
    with tls_pair() as pair:
        assert pair.server is not None
        tls = pybrpc.ServerTls(cert=pair.server.cert, key=pair.server.key, allow_plaintext=True)
        server = pybrpc.Server(tls=tls, handshake_timeout=None)
        server.add_service(SERVICE, Echo())
        if sys.argv[1] == "loop":
            asyncio.run(serve_in_loop(server))
        else:
            with server:
                print(server.start("127.0.0.1:0").port, flush=True)
                sys.stdin.read()
                server.stop(0)


async def serve_in_loop(server: pybrpc.Server) -> None:
    async with server:
        print(server.start("127.0.0.1:0").port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.stop(0)


if __name__ == "__main__":
    main()
