"""FastAPI on uvicorn, as its documentation says."""

from __future__ import annotations

import uvicorn  # type: ignore[import-not-found, unused-ignore]
from fastapi import FastAPI  # type: ignore[import-not-found, unused-ignore]
from fastapi.responses import PlainTextResponse  # type: ignore[import-not-found, unused-ignore]
from pydantic import BaseModel  # type: ignore[import-not-found, unused-ignore]

from bench.http.tasks import ECHO_PATH, TEXT, TEXT_PATH

app = FastAPI()


class Echo(BaseModel):  # type: ignore[misc, unused-ignore]
    message: str


@app.post(ECHO_PATH)  # type: ignore[untyped-decorator, unused-ignore]
async def echo(request: Echo) -> Echo:
    return Echo(message=request.message)


@app.get(TEXT_PATH, response_class=PlainTextResponse)  # type: ignore[untyped-decorator, unused-ignore]
async def hello() -> str:
    return TEXT.decode()


def serve(port: int) -> None:
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
