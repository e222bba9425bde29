"""The servers that are measured, by name. Each runs in a process of its own, Granian in two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench import process_time
from bench.http import wrk
from bench.peers import cpp_program
from bench.peers.cpp_program import MULTI_THREADED
from bench.peers.entry import is_importable
from bench.peers.pybrpc_modes import PLAIN_ENVIRONMENT, why_not_plain


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server of HTTP.

    where        "module:function" in bench.http; the function serves on a port for good
    how          in words
    tasks        names of the requests that it answers
    needs        importable modules without which it is left out
    package      whose version counts
    without      modules that are hidden from it, as if they were not installed
    environment  variables of its process
    unless       another reason why it is left out, or ""
    """

    name: str
    where: str
    how: str
    tasks: tuple[str, ...] = ("echo", "text")
    needs: tuple[str, ...] = ()
    package: str = ""
    without: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    unless: Callable[[], str] = str

    def missing(self) -> str:
        """Why it can't take part, or ""."""
        lacking = [name for name in self.needs if not is_importable(name)]
        if lacking:
            return f"{' and '.join(lacking)} not installed"
        return wrk.missing() or process_time.missing() or self.unless()


def cpp_missing() -> str:
    """Why C++ bRPC's example can't be run, or ""."""
    return cpp_program.missing(MULTI_THREADED)


_UVLOOP = ("uvloop", "httptools")
_ASGI = ("uvloop", "httptools", "orjson")
_APP = "a bare ASGI application, JSON by orjson"
_BARE = "no framework: asyncio.Protocol under uvloop, heads by httptools"

_ALL = (
    HttpServer(
        "http-pybrpc",
        "pybrpc_server:serve",
        "plain handlers in worker threads; JSON by orjson, if it is installed",
        package="pybrpc",
    ),
    HttpServer(
        "http-pybrpc-async",
        "pybrpc_server:serve_async",
        "as http-pybrpc, with async handlers",
        package="pybrpc",
    ),
    HttpServer(
        "http-pybrpc-no-orjson",
        "pybrpc_server:serve",
        "as http-pybrpc, as if orjson were not installed",
        tasks=("echo",),
        needs=("orjson",),
        package="pybrpc",
        without=("orjson",),
    ),
    HttpServer(
        "http-pybrpc-plain",
        "pybrpc_server:serve",
        "as http-pybrpc, without compiled modules",
        package="pybrpc",
        environment=PLAIN_ENVIRONMENT,
        unless=why_not_plain,
    ),
    HttpServer(
        "http-fastapi",
        "fastapi_server:serve",
        "FastAPI, async handlers, pydantic, on uvicorn with uvloop and httptools, no access log",
        needs=("fastapi", "uvicorn", *_UVLOOP),
        package="fastapi",
    ),
    HttpServer(
        "http-granian",
        "asgi_servers:serve_granian",
        f"Granian, one worker, with uvloop: {_APP}",
        needs=("granian", "uvloop", "orjson"),
        package="granian",
    ),
    HttpServer(
        "http-uvicorn",
        "asgi_servers:serve_uvicorn",
        f"uvicorn with uvloop and httptools, no access log: {_APP}",
        needs=("uvicorn", *_ASGI),
        package="uvicorn",
    ),
    HttpServer(
        "http-protocol",
        "bare_server:serve",
        f"{_BARE}, JSON by the standard library",
        needs=_UVLOOP,
        package="httptools",
    ),
    HttpServer(
        "http-protocol-orjson",
        "bare_server:serve_orjson",
        f"{_BARE}, JSON by orjson",
        tasks=("echo",),
        needs=_ASGI,
        package="orjson",
    ),
    HttpServer(
        "http-brpc-cpp",
        "",
        f"C++ bRPC's example {MULTI_THREADED}, asked by HTTP",
        tasks=("echo",),
        unless=cpp_missing,
    ),
)

SERVERS: dict[str, HttpServer] = {server.name: server for server in _ALL}


def names_for(task: str) -> tuple[str, ...]:
    """The servers that answer that request; the first is pybrpc."""
    return tuple(server.name for server in _ALL if task in server.tasks)
