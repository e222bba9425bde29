"""FastAPI on uvicorn, as its documentation says."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from bench.http.tasks import ECHO_PATH, TEXT, TEXT_PATH

app = FastAPI()


class Echo(BaseModel):
    message: str


@app.post(ECHO_PATH)
async def echo(request: Echo) -> Echo:
    return Echo(message=request.message)


@app.get(TEXT_PATH, response_class=PlainTextResponse)
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
