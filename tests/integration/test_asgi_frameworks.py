"""The tutorial application of FastAPI, and websockets, streams and middleware of Starlette."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.http_peer import HttpPeer, Response, read_response

fastapi = pytest.importorskip("fastapi")
starlette_responses = pytest.importorskip("starlette.responses")


@asynccontextmanager
async def lifespan(application: Any) -> AsyncIterator[dict[str, Any]]:
    yield {"started": True}


def tutorial() -> Any:
    """The application of https://fastapi.tiangolo.com/#example, with more from its tutorial."""
    application = fastapi.FastAPI(lifespan=lifespan)

    @application.get("/")
    def read_root() -> dict[str, str]:
        return {"Hello": "World"}

    @application.get("/items/{item_id}")
    def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
        return {"item_id": item_id, "q": q}

    @application.put("/items/{item_id}")
    async def update_item(item_id: int, item: dict[str, Any]) -> dict[str, Any]:
        return {"item_name": item["name"], "item_id": item_id}

    @application.get("/state")
    async def state(request: fastapi.Request) -> dict[str, Any]:
        return {"started": request.state.started, "url": str(request.url_for("read_root"))}

    @application.get("/stream")
    async def stream() -> Any:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(5):
                yield b"%d" % number
                await asyncio.sleep(0)

        return starlette_responses.StreamingResponse(parts(), media_type="text/plain")

    @application.post("/upload")
    async def upload(request: fastapi.Request) -> int:
        return sum([len(part) async for part in request.stream()])

    @application.get("/fail")
    async def fail() -> None:
        raise ValueError("secret")

    @application.get("/background")
    async def background(tasks: fastapi.BackgroundTasks) -> str:
        tasks.add_task(done.set)
        return "soon"

    @application.websocket("/ws")
    async def chat(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        while True:
            text = await websocket.receive_text()
            if text == "end":
                await websocket.close(4000, "ended")
                return
            await websocket.send_text(f"Message text was: {text}")

    return application


done = threading.Event()


@pytest.fixture
def address() -> Iterator[str]:
    with pybrpc.Server() as server:
        server.mount("/api", tutorial())
        yield str(server.start("127.0.0.1:0"))


def fetch(address: str, target: str, method: str = "GET", body: bytes = b"") -> Response:
    with HttpPeer(address) as peer:
        peer.request(method, target, body, Content_Type="application/json")
        return read_response(peer, method)


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "answer"),
    [
        ("GET", "/api/", b"", 200, {"Hello": "World"}),
        ("GET", "/api/items/5?q=some%20query", b"", 200, {"item_id": 5, "q": "some query"}),
        ("PUT", "/api/items/5", b'{"name":"a"}', 200, {"item_name": "a", "item_id": 5}),
        ("POST", "/api/upload", b"a" * 300_000, 200, 300_000),
        ("GET", "/api/nothing", b"", 404, {"detail": "Not Found"}),
        ("POST", "/api/", b"", 405, {"detail": "Method Not Allowed"}),
        ("GET", "/api/background", b"", 200, "soon"),
    ],
)
def test_the_tutorial_application_answers(
    address: str, method: str, target: str, body: bytes, status: int, answer: object
) -> None:
    response = fetch(address, target, method, body)
    assert (response.status, response.is_whole) == (status, True)
    assert json.loads(response.body) == answer


def test_background_tasks_run_behind_the_response(address: str) -> None:
    done.clear()
    fetch(address, "/api/background")
    wait_until(done.is_set)
    assert done.is_set()


def test_a_wrong_parameter_is_told(address: str) -> None:
    response = fetch(address, "/api/items/five")
    assert response.status == 422
    assert json.loads(response.body)["detail"][0]["loc"] == ["path", "item_id"]


def test_the_schema_and_the_urls_have_the_path_of_the_mount(address: str) -> None:
    schema = json.loads(fetch(address, "/api/openapi.json").body)
    assert schema["servers"] == [{"url": "/api"}]
    assert b"/api/openapi.json" in fetch(address, "/api/docs").body
    state = json.loads(fetch(address, "/api/state").body)
    assert state == {"started": True, "url": "http://127.0.0.1/api/"}


def test_a_streaming_response_comes_in_parts(address: str) -> None:
    response = fetch(address, "/api/stream")
    assert (response.body, response.is_whole) == (b"01234", True)
    assert response.headers["transfer-encoding"] == "chunked"


def test_an_error_of_the_application_is_500(address: str) -> None:
    response = fetch(address, "/api/fail")
    assert (response.status, response.body) == (500, b"Internal Server Error")


def test_a_websocket_of_starlette_talks(address: str) -> None:
    with connect(f"ws://{address}/api/ws", proxy=None) as client:
        client.send("hello")
        assert client.recv(20) == "Message text was: hello"
        client.send("end")
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert (client.close_code, client.close_reason) == (4000, "ended")
    with connect(f"ws://{address}/api/ws", proxy=None) as client:
        client.send("hello")
