"""Granian and uvicorn with an ASGI application of a few lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from bench.http.tasks import ECHO_PATH, TEXT

Message = MutableMapping[str, Any]

_JSON_HEADERS = [(b"content-type", b"application/json")]
_TEXT_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(TEXT))]


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Echo JSON, or answer with a text."""
    if scope["type"] != "http":
        return
    if scope["path"] == ECHO_PATH:
        data = await receive()
        body = data["body"]
        while data.get("more_body"):
            data = await receive()
            body += data["body"]
        answer = orjson.dumps({"message": orjson.loads(body)["message"]})
        headers = [*_JSON_HEADERS, (b"content-length", b"%d" % len(answer))]
    else:
        answer, headers = TEXT, _TEXT_HEADERS
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def serve_granian(port: int) -> None:
    from granian import Granian, constants  # type: ignore[import-not-found, unused-ignore]

    Granian(
        "bench.http.asgi_servers:app",
        address="127.0.0.1",
        port=port,
        interface=constants.Interfaces.ASGI,
        workers=1,
        loop=constants.Loops.uvloop,
        http=constants.HTTPModes.http1,
        log_enabled=False,
    ).serve()


def serve_uvicorn(port: int) -> None:
    import uvicorn  # type: ignore[import-not-found, unused-ignore]

    uvicorn.run(
        "bench.http.asgi_servers:app",
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
