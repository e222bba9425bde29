"""Calls, JSON, an ASGI application and the pages of the server, on one port.

    python examples/web.py 127.0.0.1:8000

Then open http://127.0.0.1:8000/app/ and http://127.0.0.1:8000/status in a browser, or

    curl -d '{"value": "you"}' http://127.0.0.1:8000/Texts/Say
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

from texts import SERVICE, Text

import pybrpc

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Greeter:
    """Answers each name with a greeting."""

    def Say(self, request: Any, controller: pybrpc.Controller) -> Any:
        return Text(value=f"Hello, {request.value}!")


async def application(scope: Any, receive: Receive, send: Send) -> None:
    """One of ASGI; it might as well be that of FastAPI, Starlette or Django."""
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    page = b"<p>Served beside the calls. Look at <a href='/status'>/status</a>.</p>\n"
    await send({"type": "http.response.body", "body": page})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address", help="where to listen, such as 127.0.0.1:8000")
    options = parser.parse_args()
    with pybrpc.Server() as server:
        server.add_service(SERVICE, Greeter())
        server.mount("/app", application)
        print(f"Serving at http://{server.start(options.address)}/", flush=True)
        server.run_until_asked_to_quit(grace=5)


if __name__ == "__main__":
    main()
