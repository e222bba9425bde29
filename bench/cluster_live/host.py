"""A process that hosts several servers, which misbehave on command.

python -m bench.cluster_live.host KIND SECONDS ADDRESS...

KIND is pybrpc or grpcio, SECONDS the time of a handler. It prints the addresses, with the ports
that it got. Then each line of stdin is a command, answered by a line: `sleep N SECONDS`, `fail N`,
`stop N`, `start N`, `ran`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any, Protocol

import pybrpc
from bench.echo_messages import EXAMPLE, EchoResponse
from pybrpc.errors import ErrorCode

SERVICE_S = 0.005
"""The time of a good handler, unless an argument gives another one."""
THREADS = 8
GRACE_S = 5.0


class Behaviour:
    """The work of the handlers of one server."""

    def __init__(self, sleep_s: float) -> None:
        self.sleep_s = sleep_s
        self.fails = False
        self.ran = 0
        """Handlers so far."""

    def act(self) -> bool:
        """Whether to answer with an error."""
        self.ran += 1
        if not self.fails:
            time.sleep(self.sleep_s)
        return self.fails


class EchoServer(Protocol):
    """A server that can be started again at its address."""

    def start(self, address: str) -> str:
        """Returns the address, with the port that it got."""

    def stop(self) -> None:
        """Have it end what it does, and take nothing new; returns when it has ended."""


class PybrpcServer:
    """Serves the service of C++ bRPC's examples, so that their clients can call it too."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def start(self, address: str) -> str:
        self._server = pybrpc.Server(max_workers=THREADS)
        self._server.add_service(EXAMPLE.service, self)
        return str(self._server.start(address))

    def stop(self) -> None:
        self._server.stop(GRACE_S)
        self._server.join()

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if self._behaviour.act():
            controller.set_failed(int(ErrorCode.EINTERNAL), "as it was told to")
        return EXAMPLE.response(message=b"x")  # C++ requires one


class GrpcioServer:
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def start(self, address: str) -> str:
        import grpc

        from bench.peers.grpcio_service import SERVER_OPTIONS, echo_handlers

        def echo(request: Any, context: grpc.ServicerContext) -> Any:
            if self._behaviour.act():
                context.abort(grpc.StatusCode.INTERNAL, "as it was told to")
            return EchoResponse()

        self._server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers((echo_handlers(echo),))
        port = self._server.add_insecure_port(address)
        self._server.start()
        return f"{address.rpartition(':')[0]}:{port}"

    def stop(self) -> None:
        self._server.stop(GRACE_S).wait()


KINDS: dict[str, Callable[[Behaviour], EchoServer]] = {
    "pybrpc": PybrpcServer,
    "grpcio": GrpcioServer,
}


class Host:
    """The servers of this process."""

    def __init__(self, kind: str, service_s: float, addresses: list[str]) -> None:
        self._behaviours = [Behaviour(service_s) for _ in addresses]
        self._servers = [KINDS[kind](behaviour) for behaviour in self._behaviours]
        self.addresses = [
            server.start(address) for server, address in zip(self._servers, addresses, strict=True)
        ]

    def obey(self, name: str, *arguments: str) -> str:
        """Carry out a command; its answer."""
        if name == "ran":
            return " ".join(str(behaviour.ran) for behaviour in self._behaviours)
        number = int(arguments[0])
        behaviour, server = self._behaviours[number], self._servers[number]
        match name:
            case "sleep":
                behaviour.sleep_s = float(arguments[1])
            case "fail":
                behaviour.fails = True
            case "stop":
                server.stop()
            case "start":
                server.start(self.addresses[number])
            case _:
                raise ValueError(f"there is no command {name!r}")
        return "done"


def main() -> None:
    host = Host(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
    print(*host.addresses, flush=True)
    for line in sys.stdin:
        print(host.obey(*line.split()), flush=True)


if __name__ == "__main__":
    main()
